"""What `ragserve bench step` says of a run: a row a phase, from the requests that were sent and the replicas seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from serve.cli.bench.step.load import ASK, PARSE, Phase, Sent
from serve.cli.driver.closed_loop import percentile

WINDOW_S = 5.0  # the 95th percentile is taken of the questions sent within so many seconds


@dataclass(frozen=True)
class Sample:
    """Replicas that run, by stage, at a time in seconds from the first phase's begin."""

    at_s: float
    replicas: dict[str, int]


@dataclass(frozen=True)
class StageRange:
    """A stage's replicas within a phase: the fewest, the most, and how often their number turned from up to down."""

    fewest: int
    most: int
    changes: int

    @property
    def oscillates(self) -> bool:
        """Up, down and up again; or down, up and down again."""
        return self.changes > 1

    @staticmethod
    def of(counts: Sequence[int]) -> "StageRange":
        return StageRange(min(counts, default=0), max(counts, default=0), direction_changes(counts))

    def __str__(self) -> str:
        numbers = f"{self.fewest}" if self.fewest == self.most else f"{self.fewest}..{self.most}"
        return f"{numbers} (oscillates)" if self.oscillates else numbers


@dataclass(frozen=True)
class PhaseRow:
    """One phase. Latencies are of the questions sent in it; files count among `failed` alone."""

    phase: Phase
    offered_per_s: float
    done_per_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    failed: int
    budget_s: float
    scaled_after_s: float | None  # None: the budget was never kept again
    p95_scaled_s: float  # of the questions sent from then on
    stages: dict[str, StageRange] = field(default_factory=dict)

    @property
    def keeps_budget(self) -> bool:
        return self.scaled_after_s is not None and self.p95_scaled_s <= self.budget_s

    def line(self) -> str:
        after = "never" if self.scaled_after_s is None else f"{self.scaled_after_s:.0f}"
        then = f"{self.p95_scaled_s:.2f}" + ("" if self.keeps_budget else " (short)")
        times = f"{self.p50_s:.2f} / {self.p95_s:.2f} / {self.p99_s:.2f}"
        rates = [f"{self.offered_per_s:.1f}", f"{self.done_per_s:.1f}"]
        cells = [self.phase.name, *rates, times, str(self.failed), after, then, *map(str, self.stages.values())]
        return f"| {' | '.join(cells)} |"


def head(stages: Sequence[str]) -> str:
    names = ["phase", "offered/s", "done/s", "p50 / p95 / p99 s", "failed", "in budget after s", "p95 s from then"]
    cells = [*names, *(f"{stage} replicas" for stage in stages)]
    return f"| {' | '.join(cells)} |\n|{'---|' * len(cells)}"


def summarise(
    phases: Sequence[Phase], sent: Sequence[Sent], samples: Sequence[Sample], budget_s: float
) -> list[PhaseRow]:
    """A row a phase."""
    spans = list(spans_of(phases))
    return [_row(phase, span, sent, samples, budget_s) for phase, span in zip(phases, spans, strict=True)]


def spans_of(phases: Sequence[Phase]) -> Iterator[tuple[float, float]]:
    """When each phase begins and ends, in seconds."""
    start = 0.0
    for phase in phases:
        yield start, start + phase.seconds
        start += phase.seconds


def direction_changes(counts: Sequence[int]) -> int:
    """How often numbers that rose next fall, or that fell next rise."""
    moves = [after > before for before, after in pairwise(counts) if after != before]
    return sum(one != next_one for one, next_one in pairwise(moves))


def scaled_after_s(questions: Sequence[Sent], span: tuple[float, float], budget_s: float) -> float | None:
    """Seconds from the span's begin until the 95th percentile of what is sent within WINDOW_S is in budget.

    Counted in whole seconds. None if it never is, or if nothing was sent.
    """
    start, end = span
    last = max(0, int(end - start - WINDOW_S))
    for second in range(last + 1):
        times = _latencies(questions, (start + second, start + second + WINDOW_S))
        if times and percentile(times, 0.95) <= budget_s:
            return float(second)
    return None


def first_file_s(sent: Sequence[Sent]) -> float:
    """From the first file's sending to its answer: a stage's start from zero. 0 without files."""
    return next((one.latency_s for one in sent if one.path == PARSE and not one.error), 0.0)


def _row(
    phase: Phase, span: tuple[float, float], sent: Sequence[Sent], samples: Sequence[Sample], budget_s: float
) -> PhaseRow:
    start, end = span
    questions = [one for one in sent if one.path == ASK]
    times = _latencies(questions, span)
    scaled = scaled_after_s(questions, span, budget_s)
    rest = _latencies(questions, (start + (scaled or 0.0), end))
    seen = [sample.replicas for sample in samples if start <= sample.at_s < end]
    return PhaseRow(
        phase=phase,
        offered_per_s=sum(start <= one.at_s < end for one in questions) / phase.seconds,
        done_per_s=sum(start <= one.ended_s < end and not one.error for one in questions) / phase.seconds,
        p50_s=percentile(times, 0.50),
        p95_s=percentile(times, 0.95),
        p99_s=percentile(times, 0.99),
        failed=sum(start <= one.at_s < end and bool(one.error) for one in sent),
        budget_s=budget_s,
        scaled_after_s=scaled,
        p95_scaled_s=percentile(rest, 0.95),
        stages={name: StageRange.of([one[name] for one in seen]) for name in (seen[0] if seen else ())},
    )


def _latencies(questions: Sequence[Sent], span: tuple[float, float]) -> list[float]:
    """In rising order, of the questions that were sent within the span. One that failed took for ever."""
    start, end = span
    found = (float("inf") if one.error else one.latency_s for one in questions if start <= one.at_s < end)
    return sorted(found)
