"""`ragserve bench models`: the model stages over HTTP against the model called offline and against other servers.

All servers of a group run at the same time on one machine, each with the same number of threads, and take turns under
the same load, which comes from a process of its own; the turn with the median throughput counts. Clients, server and
the server's other processes share the machine's cores, so each figure includes all that a request costs.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from serve.cli.driver.closed_loop import LoadResult
from serve.cli.driver.servers import OURS
from serve.cli.driver.turns import Contender, Target

GROUPS = ("embed", "rerank", "generate", "memory")
MAX_FIRST_TOKEN_MS = 10.0


@dataclass(frozen=True)
class ModelsPlan:
    """What is measured, and how long. `llm` is a checkpoint's folder; None builds a small one.

    `try_s` is the time for each library and batch size of the offline model. `may_install`: missing peers.
    """

    groups: tuple[str, ...]
    config: Path
    peers: Path
    turn_s: float
    num_turns: int
    clients: int
    threads: int
    device: Literal["cpu", "cuda"] = "cpu"
    llm: Path | None = None
    try_s: float = 1.5
    may_install: bool = True

    def as_quick(self) -> "ModelsPlan":
        return replace(self, turn_s=0.5, num_turns=1, try_s=0.05, may_install=False)


@dataclass(frozen=True)
class Row:
    """One measurement. `compared` is ours against it, as `target` defines it; `value` is None if it was skipped."""

    what: str
    by: str
    unit: str
    value: float | None
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    errors: int = 0
    compared: float | None = None
    target: Target | None = None
    note: str = ""

    @property
    def is_short(self) -> bool:
        return self.target is not None and self.compared is not None and not self.target.is_met(self.compared)


def throughput_rows(what: str, unit: str, contenders: Sequence[Contender], results: dict[str, LoadResult]) -> list[Row]:
    """A row a contender; those with a target are compared with ours."""
    ours = results[OURS].per_s if OURS in results else 0.0
    return [
        _row(what, unit, contender, results[contender.name], results[contender.name].per_s, ours)
        for contender in contenders
    ]


def first_token_rows(what: str, contenders: Sequence[Contender], results: dict[str, LoadResult]) -> list[Row]:
    """Milliseconds to the first token, in the median of a turn's requests."""
    ours = results[OURS].first_s * 1000
    return [
        _row(what, "ms", contender, results[contender.name], results[contender.name].first_s * 1000, ours)
        for contender in contenders
    ]


def _row(what: str, unit: str, contender: Contender, result: LoadResult, value: float, ours: float) -> Row:
    target = contender.target
    compared = target.compare(ours, value) if target and value else None
    note = "; ".join(message for message in (contender.note(), *result.messages) if message)
    p50_ms, p99_ms = result.p50_s * 1000, result.p99_s * 1000
    return Row(what, contender.name, unit, value, p50_ms, p99_ms, result.errors, compared, target, note)


def skipped(what: str, by: str, reason: str) -> Row:
    return Row(what, by, "", None, note=f"skipped: {reason}")


HEAD = "| what | by | | p50 / p99 ms | ragserve against it | target | note |\n|---|---|---|---|---|---|---|"


def table_row(row: Row) -> str:
    """A line of Markdown under HEAD. Rows below their target are marked."""
    value = "" if row.value is None else f"{row.value:,.{0 if row.value >= 100 else 1}f} {row.unit}"
    times = f"{row.p50_ms:,.1f} / {row.p99_ms:,.1f}" if row.p50_ms else ""
    note = f"{row.errors} errors; {row.note}" if row.errors else row.note
    cells = (row.what, row.by, value, times, _compared(row), _bound(row.target), " ".join(note.split()))
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _compared(row: Row) -> str:
    if row.compared is None or row.target is None:
        return ""
    short = " (short)" if row.is_short else ""
    return f"{row.compared:+.1f} ms{short}" if row.target.is_difference else f"{row.compared:.2f}{short}"


def _bound(target: Target | None) -> str:
    if target is None:
        return ""
    return f"at most +{target.bound:g} ms" if target.is_difference else f"{target.bound:g}"


def write_json(path: Path, rows: Sequence[Row], machine: dict[str, str]) -> None:
    """The rows and the machine that they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
