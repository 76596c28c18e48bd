"""`ragserve bench overload`: the goodput of the service above its peak load.

The peak comes from closed loops with a rising number of clients. Then questions are offered at multiples of that peak,
whether or not the earlier ones were answered, in turns with the best of the closed loops. Past the peak, goodput should
stay where it was: it falls if the service works for answers that come too late. Clients, server and the server's other
processes share the machine's cores, so the driver's own CPU is part of each row.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from serve.cli.bench.overload.outcomes import OfferResult
from serve.cli.driver.closed_loop import LoadResult

MIN_GOODPUT = 0.9  # of the peak, past it
PEAK_MISSED = 1.1  # goodput above this shows that the closed loop before it was not at the peak
MAX_LAG_S = 0.25  # with a later driver, the offered rate is not the one that is stated


@dataclass(frozen=True)
class OverloadPlan:
    """The load. `shares` are multiples of the peak; after `answer_s` a request counts as unanswered.

    `warm_s`: start of each open loop that is not measured, until the number of requests in flight is steady. `corpus`:
    a prepared corpus, in place of the documents and the questions.
    """

    config: Path
    documents: tuple[Path, ...]
    questions: Path
    clients: tuple[int, ...]
    shares: tuple[float, ...]
    turn_s: float
    num_turns: int
    answer_s: float
    warm_s: float = 4.0
    warm_up_s: float = 5.0
    corpus: Path | None = None

    def as_quick(self) -> "OverloadPlan":
        """One closed loop, and open loops below and above its peak."""
        return replace(self, clients=(4,), shares=(0.5, 1.5), turn_s=3.0, num_turns=1, warm_s=1.0, warm_up_s=2.0)


@dataclass(frozen=True)
class PeakRow:
    """A closed loop with this number of clients: the median of several turns."""

    clients: int
    result: LoadResult


@dataclass(frozen=True)
class OverloadRow:
    """An open loop at `share` times the peak of the closed loop just before it.

    `faults` must be empty at any load: see `faults_of`.
    """

    share: float
    peak: float
    result: OfferResult
    faults: tuple[str, ...]

    @property
    def goodput_ratio(self) -> float:
        """Goodput as a fraction of the peak, or of the offered rate if that is less."""
        return self.result.whole / max(1e-9, min(self.peak, self.result.offered))

    @property
    def is_short(self) -> bool:
        return bool(self.faults) or (self.share > 1 and self.goodput_ratio < MIN_GOODPUT)


@dataclass(frozen=True)
class Findings:
    """The rows of both tables: of each number of clients, and of each share the median turn with the faults of all."""

    peaks: tuple[PeakRow, ...]
    rows: tuple[OverloadRow, ...]


def faults_of(result: OfferResult) -> list[str]:
    """Hanging requests, refusals that a client cannot read, failures; and a driver that was too slow."""
    counts = {"unanswered": result.unanswered, "refused without type or Retry-After": result.untyped, **result.failed}
    faults = [f"{count} {kind}" for kind, count in counts.items() if count]
    if result.unsent or result.lag_s > MAX_LAG_S:
        faults.append(f"driver: {result.unsent} not sent, {result.lag_s:.2f} s late")
    return faults


COLUMNS = (
    "offered / s",
    "of the peak",
    "answered / s",
    "kept",
    "degraded / s",
    "refused",
    "p50 / p95 / p99 s",
    "refusal p99 s",
    "faults",
)
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"
PEAK_HEAD = "| clients | answered / s | p50 / p95 / p99 s | errors |\n|---|---|---|---|"


def table(findings: Findings) -> str:
    """Markdown: the closed loops, then the open ones. Rows below their target are marked."""
    peaks = [_peak_line(row) for row in findings.peaks]
    return "\n".join([PEAK_HEAD, *peaks, "", HEAD, *map(_line, findings.rows)])


def _peak_line(row: PeakRow) -> str:
    result = row.result
    times = _times(result.p50_s, result.p95_s, result.p99_s)
    return f"| {row.clients} | {result.per_s:.1f} | {times} | {result.errors} |"


def _line(row: OverloadRow) -> str:
    result = row.result
    note = " (short)" if row.is_short else " (the peak is higher)" if row.goodput_ratio > PEAK_MISSED else ""
    refused = ", ".join(f"{count} x {kind}" for kind, count in result.refused.items())
    cells = (
        f"{result.offered:.1f}",
        f"{row.share:g} x {row.peak:.1f}",
        f"{result.whole:.1f}",
        f"{row.goodput_ratio:.2f}{note}",
        f"{result.degraded:.1f}",
        refused,
        _times(result.p50_s, result.p95_s, result.p99_s),
        f"{result.refusal_p99_s:.2f}" if result.refused else "",
        "; ".join(row.faults),
    )
    return f"| {' | '.join(cells)} |"


def _times(*seconds: float) -> str:
    return " / ".join(f"{time_s:.2f}" for time_s in seconds)


def write_json(path: Path, findings: Findings, turns: Sequence[OverloadRow]) -> None:
    """Everything, with the row of every turn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = asdict(findings) | {"turns": [asdict(row) for row in turns]}
    path.write_text(json.dumps(content, indent=1) + "\n")
