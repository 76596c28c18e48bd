"""The run of `ragserve bench cache`: a new service for each row, and the same trace against each."""

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from serve.cli.bench.cache.rows import MEMORY, REDIS, WITHOUT, CacheRow, hits_of, table
from serve.cli.driver.closed_loop import Load, drive
from serve.cli.driver.corpus.prepared import PreparedCorpus
from serve.cli.driver.corpus.real import SetQuestion
from serve.cli.driver.corpus.serving import QUERY_PATH, serving
from serve.cli.driver.machine import describe_machine
from serve.cli.driver.options import show, show_progress
from serve.cli.driver.process_cpu import cpu_seconds
from serve.cli.driver.question_trace import question_trace, shape_of
from serve.cli.driver.servers import HOST, Launch, Server, ragserve_up
from serve.cli.driver.stage_times import Percentiles
from serve.cli.driver.workload import write_bodies

THREADS = 1
WARM_UP_CLIENTS, WARM_UP_S = 8, 10.0
REDIS_URL = "RAGSERVE_REDIS_URL"


@dataclass(frozen=True)
class CachePlan:
    """The trace of `num_requests` questions, replayed for at most `seconds` by `clients`."""

    config: Path
    clients: int = 16
    num_requests: int = 1_500
    seconds: float = 90.0
    redis_url: str | None = None
    warm_up_s: float = WARM_UP_S

    def as_quick(self) -> "CachePlan":
        return replace(self, clients=4, num_requests=100, seconds=10.0, warm_up_s=2.0)

    @property
    def caches(self) -> tuple[str, ...]:
        return (WITHOUT, MEMORY) if self.redis_url is None else (WITHOUT, MEMORY, REDIS)


def measure(plan: CachePlan, corpus: PreparedCorpus, output: Path | None) -> None:
    """Prints the table and writes the rows; those that were measured even if a later one fails."""
    # As Ctrl-C: no server outlives this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rows: list[CacheRow] = []
    # The last questions warm each service up, so the trace must not have them.
    trace = question_trace(corpus.questions[: -len(corpus.questions) // 4], plan.num_requests)
    shape, facts = shape_of(trace), describe_machine(THREADS) | corpus.facts
    try:
        rows.extend(run(plan, corpus, trace, show_progress))
    finally:
        show("; ".join(f"{name}: {fact}" for name, fact in facts.items()), "", table(rows, shape.repeated))
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            content = {"rows": [asdict(row) for row in rows], "trace": asdict(shape), "facts": facts}
            output.write_text(json.dumps(content, indent=1) + "\n")


def run(
    plan: CachePlan, corpus: PreparedCorpus, trace: Sequence[SetQuestion], report: Callable[[str], None]
) -> Iterator[CacheRow]:
    """A row for each kind of caches. Raises ServerStartError."""
    for caches in plan.caches:
        report(f"{caches}: starting ragserve on a copy of the corpus")
        with TemporaryDirectory() as temporary:
            folder, state = Path(temporary), Path(temporary) / "state"
            with serving(corpus, _launch(plan, caches, state), state, folder, THREADS) as server:
                row = _replay(plan, caches, server, corpus, trace, folder)
        report(f"{caches}: {row.per_s:.1f} questions/s {row.note}")
        yield row


def _launch(plan: CachePlan, caches: str, state: Path) -> Launch:
    """An empty variable would be a wrong URL; a service without it uses memory alone."""
    launch = ragserve_up(plan.config, state)
    if caches != REDIS or plan.redis_url is None:
        return launch
    return replace(launch, environment=dict(launch.environment) | {REDIS_URL: plan.redis_url})


def _replay(
    plan: CachePlan,
    caches: str,
    server: Server,
    corpus: PreparedCorpus,
    trace: Sequence[SetQuestion],
    folder: Path,
) -> CacheRow:
    unseen = _write(folder / "warm_up.jsonl", corpus.questions[-len(corpus.questions) // 4 :])
    warm_up = Load(HOST, server.port, QUERY_PATH, str(unseen), WARM_UP_CLIENTS, plan.warm_up_s)
    drive(warm_up)
    bodies = _write(folder / "bodies.jsonl", trace)
    load = Load(HOST, server.port, QUERY_PATH, str(bodies), plan.clients, plan.seconds)
    hits_before, cpu_before = _hits(server), sum(cpu_seconds(server.pid).values())
    result = drive(replace(load, repeats=False, reads_answers=True, use_caches=caches != WITHOUT))
    cpu = sum(cpu_seconds(server.pid).values()) - cpu_before
    hits = {level: number - hits_before.get(level, 0) for level, number in _hits(server).items()}
    total = Percentiles(result.p50_s, result.p95_s, result.p99_s)
    cpu_ms = 1000 * cpu / max(1, result.requests)
    counts = (result.degraded, result.errors, "; ".join(result.messages))
    return CacheRow(caches, result.per_s, result.requests, total, cpu_ms, hits, *counts)


def _write(path: Path, questions: Sequence[SetQuestion]) -> Path:
    bodies: list[dict[str, object]] = [{"query": question.text} for question in questions]
    return write_bodies(path, bodies)


def _hits(server: Server) -> dict[str, int]:
    page = httpx.get(f"{server.url}/metrics", trust_env=False).raise_for_status()
    return hits_of(page.text)
