"""`ragserve bench overload`: what the service still answers when it is asked for more than it can do.

The peak comes from closed loops of a rising number of clients. Then questions are offered at shares of that peak,
whether or not the ones before were answered, in turns with the best of the closed loops. Past the peak goodput should
stay where it was: work for answers that nobody gets, or that come too late, is what takes it down. Clients, server and
the server's helpers share the machine's cores, so the driver's own share is part of each row.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from serve.cli.driver.closed_loop import LoadResult
from serve.cli.driver.open_loop import OfferResult

KEPT = 0.9  # of the peak, past it
PEAK_MISSED = 1.1  # who keeps more than this shows that the closed loop before it was not at the peak
MAX_LAG_S = 0.25  # a driver that is later than this offered something else than it says


@dataclass(frozen=True)
class OverloadPlan:
    """What is asked, where, and how long. `shares` are of the peak; `answer_s` is when an answer is given up."""

    config: Path
    documents: tuple[Path, ...]
    questions: Path
    clients: tuple[int, ...]
    shares: tuple[float, ...]
    turn_s: float
    num_turns: int
    answer_s: float


@dataclass(frozen=True)
class PeakRow:
    """A closed loop of so many clients: of several turns the median."""

    clients: int
    result: LoadResult


@dataclass(frozen=True)
class OverloadRow:
    """An open loop at `share` times the peak, that of the closed loop just before it: the turn that kept the median.

    `faults` are what must not be, whatever the load, in any of the turns: see `faults_of`.
    """

    share: float
    peak: float
    result: OfferResult
    faults: tuple[str, ...]

    @property
    def kept(self) -> float:
        """Goodput over what could be had: the peak, or what was offered where that is less."""
        return self.result.whole / max(1e-9, min(self.peak, self.result.offered))

    @property
    def is_short(self) -> bool:
        return bool(self.faults) or (self.share > 1 and self.kept < KEPT)


@dataclass(frozen=True)
class Findings:
    """What was measured."""

    peaks: tuple[PeakRow, ...]
    rows: tuple[OverloadRow, ...]


def faults_of(result: OfferResult) -> list[str]:
    """Hanging requests, refusals that a client cannot read, failures; and a driver that could not keep up."""
    counted = {"unanswered": result.unanswered, "refused without type or Retry-After": result.untyped, **result.failed}
    faults = [f"{number} {what}" for what, number in counted.items() if number]
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
    """Markdown: the closed loops, then the open ones. What falls short says so."""
    peaks = [_peak_line(row) for row in findings.peaks]
    return "\n".join([PEAK_HEAD, *peaks, "", HEAD, *map(_line, findings.rows)])


def _peak_line(row: PeakRow) -> str:
    one = row.result
    return f"| {row.clients} | {one.per_s:.1f} | {_times(one.p50_s, one.p95_s, one.p99_s)} | {one.errors} |"


def _line(row: OverloadRow) -> str:
    one = row.result
    note = " (short)" if row.is_short else " (the peak is higher)" if row.kept > PEAK_MISSED else ""
    refused = ", ".join(f"{number} x {kind}" for kind, number in one.refused.items())
    cells = (
        f"{one.offered:.1f}",
        f"{row.share:g} x {row.peak:.1f}",
        f"{one.whole:.1f}",
        f"{row.kept:.2f}{note}",
        f"{one.degraded:.1f}",
        refused,
        _times(one.p50_s, one.p95_s, one.p99_s),
        f"{one.refusal_p99_s:.2f}" if one.refused else "",
        "; ".join(row.faults),
    )
    return f"| {' | '.join(cells)} |"


def _times(*seconds: float) -> str:
    return " / ".join(f"{one:.2f}" for one in seconds)


def write_json(path: Path, findings: Findings, turns: Sequence[OverloadRow]) -> None:
    """Everything, every turn's row included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = asdict(findings) | {"turns": [asdict(row) for row in turns]}
    path.write_text(json.dumps(found, indent=1) + "\n")
