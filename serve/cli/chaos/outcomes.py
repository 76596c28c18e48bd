"""What became of each question under a fault, and of the fault as a whole."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

# An answer that takes longer than both waited for something that was not there.
SLOW_S, SLOW_MEDIANS = 2.0, 3


@dataclass(frozen=True)
class Outcome:
    """One question. Times are seconds of the system's monotonic clock, which all processes share.

    `code` is the error's code, `untyped` for an answer in another shape, `connection` without an answer; "" if it was
    answered. `degraded` has each missing stage with its reason.
    """

    started_at: float
    ended_at: float
    code: str = ""
    degraded: tuple[str, ...] = ()
    is_stream: bool = False

    def to_line(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def of_line(line: str) -> "Outcome":
        fields = json.loads(line)
        return Outcome(**fields | {"degraded": tuple(fields["degraded"])})

    @property
    def failure(self) -> str:
        """The code, and whether a stream was cut: its answer may have begun."""
        return f"{self.code} of a stream" if self.is_stream else self.code

    @property
    def duration_s(self) -> float:
        return self.ended_at - self.started_at

    def is_full(self, slow_s: float) -> bool:
        """Whole, and not slow."""
        return not self.code and not self.degraded and self.duration_s <= slow_s


@dataclass(frozen=True)
class Row:
    """A fault: the questions from its beginning on, those that failed by `failure`, and the time until full service.

    Every later answer is then whole, and none is slow.
    """

    fault: str
    num_questions: int
    failed: dict[str, int]
    degraded: dict[str, int]
    slowest_s: float
    recovered_s: float | None

    def to_markdown(self) -> str:
        failed = _counts(self.failed) or "0"
        recovered = "not within the limit" if self.recovered_s is None else f"{self.recovered_s:.1f}"
        cells = (self.fault, str(self.num_questions), failed, _counts(self.degraded) or "nothing")
        return f"| {' | '.join(cells)} | {self.slowest_s:.1f} | {recovered} |"


HEADER = (
    "| fault | questions | failed | answered without | slowest answer, s | full service after, s |\n"
    "|---|---|---|---|---|---|"
)


def slow_after_s(outcomes: Sequence[Outcome]) -> float:
    """Longer answers than this, in seconds, are slow for a service that gave these without a fault."""
    return max(SLOW_S, SLOW_MEDIANS * median(each.duration_s for each in outcomes))


def row_of(fault: str, began_at: float, outcomes: Sequence[Outcome], slow_s: float, is_over: bool) -> Row:
    """The row of the questions that ended after the fault began. `is_over`: full service was back at the end."""
    under_fault = [outcome for outcome in outcomes if outcome.ended_at >= began_at]
    last_bad_at = max((each.ended_at for each in under_fault if not each.is_full(slow_s)), default=began_at)
    return Row(
        fault,
        len(under_fault),
        dict(Counter(each.failure for each in under_fault if each.code)),
        dict(Counter(reason for each in under_fault for reason in each.degraded)),
        max((each.duration_s for each in under_fault), default=0.0),
        last_bad_at - began_at if is_over else None,
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))
