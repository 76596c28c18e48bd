"""The tables of `ragserve bench serve`, in Markdown."""

from collections.abc import Sequence

from serve.cli.bench.serve.limit import LibraryCosts
from serve.cli.bench.serve.rows import WARM, Goal, LoadRow, Results
from serve.cli.driver.stage_times import RETRIEVAL, STAGES

LOAD_COLUMNS = (
    "questions",
    "clients",
    "questions/s",
    "unseen / seen",
    "p50 / p95 / p99 ms",
    "retrieval p50 / p95 / p99 ms",
    "CPU ms a question",
    "degraded",
    "failed",
    "note",
)
LIBRARIES = {
    "embed_ms": "embed",
    "dense_ms": "FAISS",
    "lexical_ms": "Tantivy",
    "max_sim_ms": "MaxSim",
    "read_ms": "read",
}


def tables(results: Results) -> str:
    """The loads, the stages' times, the processes' CPU, the limit and the goals, as far as they were measured."""
    shown = [load_table(results), stage_table(results.rows), cpu_table(results)]
    if results.limit is not None:
        shown.append(limit_table(results.limit))
    goals = results.goals()
    return "\n\n".join([*shown, goal_table(goals)] if goals else shown)


def load_table(results: Results) -> str:
    return _table(LOAD_COLUMNS, [_load_cells(row, results) for row in results.rows])


def _load_cells(row: LoadRow, results: Results) -> Sequence[str]:
    ratio = results.cold_ratio(row.clients) if row.questions == WARM else None
    return (
        row.questions,
        clients_of(row),
        f"{row.per_s:.1f}",
        "" if ratio is None else f"{ratio:.2f}",
        str(row.total),
        str(row.stages.get(RETRIEVAL, "")),
        f"{row.cpu_sum_ms:.0f}",
        str(row.degraded),
        str(row.failed),
        " ".join(row.note.split()).replace("|", "/"),
    )


def clients_of(row: LoadRow) -> str:
    return str(row.clients) if row.clients else f"{row.offered:.1f}/s"


def stage_table(rows: Sequence[LoadRow]) -> str:
    """p50 / p95 / p99 of each stage in ms."""
    stages = [stage for stage in STAGES if any(stage in row.stages for row in rows)]
    cells = [[row.questions, clients_of(row), *(str(row.stages.get(stage, "")) for stage in stages)] for row in rows]
    return _table(["questions", "clients", *(f"{stage}, ms" for stage in stages)], cells)


def cpu_table(results: Results) -> str:
    """CPU milliseconds of a question by process; the last column compares their sum with the limit."""
    names = list(dict.fromkeys(name for row in results.rows for name in sorted(row.cpu_ms)))
    head = ["questions", "clients", *names, "sum"] + (["of the limit"] if results.limit else [])
    return _table(head, [_cpu_cells(row, names, results.limit) for row in results.rows])


def _cpu_cells(row: LoadRow, names: Sequence[str], limit: LibraryCosts | None) -> Sequence[str]:
    by_process = [f"{row.cpu_ms.get(name, 0.0):.1f}" for name in names]
    ratio = [f"{row.cpu_sum_ms / limit.sum_ms:.2f}"] if limit else []
    return [row.questions, clients_of(row), *by_process, f"{row.cpu_sum_ms:.1f}", *ratio]


def limit_table(limit: LibraryCosts) -> str:
    cells = [f"{getattr(limit, name):.2f}" for name in LIBRARIES]
    return _table(["the libraries alone, CPU ms", *LIBRARIES.values(), "sum"], [["", *cells, f"{limit.sum_ms:.2f}"]])


def goal_table(goals: Sequence[Goal]) -> str:
    cells = [
        [
            goal.name,
            f"{goal.value:.2f}" if goal.is_met else f"{goal.value:.2f} (short)",
            f"at {'most' if goal.is_upper else 'least'} {goal.bound:g}",
        ]
        for goal in goals
    ]
    return _table(["goal", "measured", "target"], cells)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
