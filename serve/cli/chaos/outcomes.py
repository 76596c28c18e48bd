"""What became of each question under a fault, and of the fault as a whole."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

TYPED = (429, 503, 504, 507)


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
    def is_whole(self) -> bool:
        return not self.code and not self.degraded


@dataclass(frozen=True)
class Row:
    """A fault: the questions from its beginning on, those that failed by code, and the time until all was whole."""

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


def row_of(fault: str, began_at: float, outcomes: Sequence[Outcome], is_over: bool) -> Row:
    """The row of the questions that ended after the fault began. `is_over`: all was whole again at the end."""
    under_fault = [outcome for outcome in outcomes if outcome.ended_at >= began_at]
    last_bad_at = max((each.ended_at for each in under_fault if not each.is_whole), default=began_at)
    return Row(
        fault,
        len(under_fault),
        dict(Counter(each.code for each in under_fault if each.code)),
        dict(Counter(reason for each in under_fault for reason in each.degraded)),
        max((each.ended_at - each.started_at for each in under_fault), default=0.0),
        last_bad_at - began_at if is_over else None,
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))
