"""`ragserve bench models`: the model stages over HTTP against the model called offline and against other servers.

All servers of a group run at the same time on one machine, each with the same number of threads, and take turns under
the same load, which a process of its own makes; the turn with the median throughput counts. Clients, server and the
server's helpers share the machine's cores, so what a request costs beside the model is part of each figure.
"""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from serve.cli.driver.closed_loop import LoadResult

GROUPS = ("embed", "rerank", "generate", "memory")
OURS = "ragserve"
MAX_FIRST_TOKEN_MS = 10.0


@dataclass(frozen=True)
class Plan:
    """What to measure, and how long each turn lasts. `llm` is a checkpoint's folder; None builds a small one."""

    groups: tuple[str, ...]
    config: Path
    peers: Path
    turn_s: float
    num_turns: int
    clients: int
    threads: int
    device: Literal["cpu", "cuda"] = "cpu"
    llm: Path | None = None


@dataclass(frozen=True)
class Target:
    """At least `bound` times the other's throughput; or, of milliseconds, at most `bound` more than the other's."""

    bound: float
    is_difference: bool = False

    def of(self, ours: float, theirs: float) -> float:
        return ours - theirs if self.is_difference else ours / theirs

    def is_met(self, compared: float) -> bool:
        return compared <= self.bound if self.is_difference else compared >= self.bound


@dataclass(frozen=True)
class Row:
    """One measurement. `compared` is ours against it, as `target` has it; `value` is None where it was not run."""

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


@dataclass(frozen=True)
class Contender:
    """Whoever takes turns: `turn` measures for so many seconds. `target` is what ragserve must reach against it."""

    name: str
    turn: Callable[[float], LoadResult]
    target: Target | None = None
    note: Callable[[], str] = str


def take_turns(contenders: Sequence[Contender], plan: Plan) -> dict[str, LoadResult]:
    """Interleaved; of each contender the turn with the median throughput, and every turn's errors."""
    turns: dict[str, list[LoadResult]] = {one.name: [] for one in contenders}
    for one in contenders:
        one.turn(min(2.0, plan.turn_s))  # warms up: connections, first batches, the offline search for a batch size
    for _ in range(plan.num_turns):
        for one in contenders:
            turns[one.name].append(one.turn(plan.turn_s))
    return {name: _median(results) for name, results in turns.items()}


def _median(results: list[LoadResult]) -> LoadResult:
    middle = statistics.median_low(result.per_s for result in results)
    chosen = next(result for result in results if result.per_s == middle)
    messages = dict.fromkeys(message for result in results for message in result.messages)
    errors = sum(result.errors for result in results)
    return replace(chosen, errors=errors, messages=tuple(messages))


def throughput_rows(what: str, unit: str, contenders: Sequence[Contender], results: dict[str, LoadResult]) -> list[Row]:
    """A row a contender; those with a target are compared with ours."""
    ours = results[OURS].per_s if OURS in results else 0.0
    return [_row(what, unit, one, results[one.name], results[one.name].per_s, ours) for one in contenders]


def first_token_rows(what: str, contenders: Sequence[Contender], results: dict[str, LoadResult]) -> list[Row]:
    """Milliseconds to the first token, in the median of a turn's requests."""
    ours = results[OURS].first_s * 1000
    return [_row(what, "ms", one, results[one.name], results[one.name].first_s * 1000, ours) for one in contenders]


def _row(what: str, unit: str, one: Contender, result: LoadResult, value: float, ours: float) -> Row:
    compared = one.target.of(ours, value) if one.target and value else None
    note = "; ".join(part for part in (one.note(), *result.messages) if part)
    p50_ms, p99_ms = result.p50_s * 1000, result.p99_s * 1000
    return Row(what, one.name, unit, value, p50_ms, p99_ms, result.errors, compared, one.target, note)


def not_run(what: str, by: str, reason: str) -> Row:
    return Row(what, by, "", None, note=f"not run: {reason}")


HEAD = "| what | by | | p50 / p99 ms | ragserve against it | asked for | note |\n|---|---|---|---|---|---|---|"


def table_row(row: Row) -> str:
    """A line of Markdown under HEAD. Where it falls short of its target it says so."""
    value = "" if row.value is None else f"{row.value:,.{0 if row.value >= 100 else 1}f} {row.unit}"
    times = f"{row.p50_ms:,.1f} / {row.p99_ms:,.1f}" if row.p50_ms else ""
    note = f"{row.errors} errors; {row.note}" if row.errors else row.note
    cells = (row.what, row.by, value, times, _compared(row), _asked(row.target), " ".join(note.split()))
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _compared(row: Row) -> str:
    if row.compared is None or row.target is None:
        return ""
    short = " (short)" if row.is_short else ""
    return f"{row.compared:+.1f} ms{short}" if row.target.is_difference else f"{row.compared:.2f}{short}"


def _asked(target: Target | None) -> str:
    if target is None:
        return ""
    return f"at most +{target.bound:g} ms" if target.is_difference else f"{target.bound:g}"


def write_json(path: Path, rows: Sequence[Row], machine: dict[str, str]) -> None:
    """The rows and the machine that they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
