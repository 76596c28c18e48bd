"""`ragserve bench starve`: the service while other processes take every core.

Questions come at a steady rate in three phases: on a free machine, beside busy processes, and after these have ended.
A question may lose a stage while the machine is busy, but not its answer. No replica may be restarted, because a busy
machine is no fault of a replica. Afterwards the service must be as fast as before.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from serve.cli.driver.open_loop import Record

FREE, BUSY, AFTERWARDS = "free", "busy", "afterwards"
OK, REFUSED = 200, 429
AS_BEFORE = 2.0  # times the 95th percentile on the free machine: an answer is as fast as before


@dataclass(frozen=True)
class StarvePlan:
    """The load: `per_s` questions a second in each phase, and `burners_per_core` processes beside it in the second.

    `budget_s` is query.total_s. A request counts as unanswered `grace_s` later.
    """

    config: Path
    documents: tuple[Path, ...]
    questions: Path
    per_s: float
    phase_s: float
    burners_per_core: int
    budget_s: float
    warm_up_s: float = 10.0
    grace_s: float = 10.0

    def as_quick(self) -> "StarvePlan":
        """One document, and short phases with few questions."""
        return replace(self, documents=self.documents[:1], phase_s=10.0, per_s=2.0, warm_up_s=5.0)


@dataclass(frozen=True)
class PhaseRow:
    """How the questions of a phase ended: counts, and seconds of the answers. `late`: answered after the budget."""

    phase: str
    num_questions: int
    whole: int
    degraded: int
    refused: int
    failed: int
    late: int
    p50_s: float
    p95_s: float
    longest_s: float


@dataclass(frozen=True)
class Findings:
    """The phases, the replicas that are gone, and the time from the end of the busy phase to an answer as before.

    `recovery_s` is None if no such answer came.
    """

    rows: tuple[PhaseRow, ...]
    restarted: tuple[str, ...]
    recovery_s: float | None

    @property
    def faults(self) -> list[str]:
        """What must not happen on any machine."""
        ends = [f"{row.phase}: {row.failed} failed, {row.late} late" for row in self.rows if row.failed or row.late]
        restarts = [f"restarted: {', '.join(self.restarted)}"] if self.restarted else []
        return [*ends, *restarts, *(["no recovery"] if self.recovery_s is None else [])]


def summarise(phase: str, records: Sequence[Record], budget_s: float) -> PhaseRow:
    """The row of a phase. Times are those of complete answers."""
    answers = [record for record in records if record.status == OK]
    times = sorted(record.ended_s - record.sent_s for record in answers) or [float("nan")]
    num_refused = sum(record.status == REFUSED for record in records)
    return PhaseRow(
        phase,
        len(records),
        sum(record.is_degraded is False for record in answers),
        sum(record.is_degraded is True for record in answers),
        num_refused,
        len(records) - len(answers) - num_refused,
        sum(record.ended_s - record.sent_s > budget_s for record in answers),
        statistics.median(times),
        times[min(len(times) - 1, int(0.95 * len(times)))],
        times[-1],
    )


def recovery_s(free: PhaseRow, afterwards: Sequence[Record]) -> float | None:
    """When the first whole answer came that was as fast as on the free machine."""
    as_before = (
        record.ended_s
        for record in afterwards
        if record.is_degraded is False and record.ended_s - record.sent_s <= AS_BEFORE * free.p95_s
    )
    return min(as_before, default=None)


def table(findings: Findings) -> list[str]:
    """The findings as Markdown."""
    titles = ["machine", "questions", "whole", "degraded", "refused", "failed", "late", "p50 / p95 / longest s"]
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for row in findings.rows:
        counts = (row.num_questions, row.whole, row.degraded, row.refused, row.failed, row.late)
        times = f"{row.p50_s:.2f} / {row.p95_s:.2f} / {row.longest_s:.2f}"
        lines.append(f"| {row.phase} | " + " | ".join(map(str, counts)) + f" | {times} |")
    restarts = f"{len(findings.restarted)} ({', '.join(findings.restarted)})" if findings.restarted else "none"
    recovery = "never" if findings.recovery_s is None else f"{findings.recovery_s:.1f} s"
    return [*lines, "", f"Replicas restarted: {restarts}. First whole answer as fast as before: after {recovery}."]


def write_json(path: Path, findings: Findings) -> None:
    path.write_text(json.dumps(asdict(findings), indent=1))
