"""The summary of `ragserve bench step`: a row a phase, from the requests and the sampled replicas."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from serve.cli.bench.step.plan import ASK, PARSE, StepPhase
from serve.cli.driver.closed_loop import percentile
from serve.cli.driver.open_loop import Record

WINDOW_S = 5.0  # of the questions over which the 95th percentile is computed


@dataclass(frozen=True)
class SentRequest:
    """One request: the seconds from the start of the first phase until it was sent, and its error, "" if none."""

    at_s: float
    path: str
    latency_s: float
    error: str = ""

    @property
    def ended_s(self) -> float:
        return self.at_s + self.latency_s


def sent_request(record: Record, lead_s: float) -> SentRequest:
    """`lead_s`: length of the load before the first phase."""
    return SentRequest(record.sent_s - lead_s, record.path, record.ended_s - record.sent_s, record.error)


@dataclass(frozen=True)
class Sample:
    """Replicas that run, by stage, at a time in seconds from the start of the first phase."""

    at_s: float
    replicas: dict[str, int]


@dataclass(frozen=True)
class StageRange:
    """A stage's replicas within a phase: the fewest, the most, and the changes between growing and shrinking."""

    fewest: int
    most: int
    changes: int

    @property
    def oscillates(self) -> bool:
        """Up, down, up; or down, up, down."""
        return self.changes > 1

    @staticmethod
    def of(counts: Sequence[int]) -> "StageRange":
        return StageRange(min(counts, default=0), max(counts, default=0), direction_changes(counts))

    def __str__(self) -> str:
        numbers = f"{self.fewest}" if self.fewest == self.most else f"{self.fewest}..{self.most}"
        return f"{numbers} (oscillates)" if self.oscillates else numbers


@dataclass(frozen=True)
class PhaseRow:
    """One phase. Latencies are of the questions sent in it; files count only in `failed`."""

    phase: StepPhase
    offered_per_s: float
    done_per_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    failed: int
    budget_s: float
    scaled_after_s: float | None  # None: never within the budget again
    p95_scaled_s: float  # of the questions sent after that
    stages: dict[str, StageRange] = field(default_factory=dict)

    @property
    def keeps_budget(self) -> bool:
        return self.scaled_after_s is not None and self.p95_scaled_s <= self.budget_s

    def line(self) -> str:
        after = "never" if self.scaled_after_s is None else f"{self.scaled_after_s:.0f}"
        p95_scaled = f"{self.p95_scaled_s:.2f}" + ("" if self.keeps_budget else " (short)")
        times = f"{self.p50_s:.2f} / {self.p95_s:.2f} / {self.p99_s:.2f}"
        rates = [f"{self.offered_per_s:.1f}", f"{self.done_per_s:.1f}"]
        cells = [self.phase.name, *rates, times, str(self.failed), after, p95_scaled, *map(str, self.stages.values())]
        return f"| {' | '.join(cells)} |"


def head(stages: Sequence[str]) -> str:
    names = ["phase", "offered/s", "done/s", "p50 / p95 / p99 s", "failed", "in budget after s", "p95 s from then"]
    cells = [*names, *(f"{stage} replicas" for stage in stages)]
    return f"| {' | '.join(cells)} |\n|{'---|' * len(cells)}"


def summarise(
    phases: Sequence[StepPhase], sent: Sequence[SentRequest], samples: Sequence[Sample], budget_s: float
) -> list[PhaseRow]:
    """A row a phase."""
    spans = list(spans_of(phases))
    return [_row(phase, span, sent, samples, budget_s) for phase, span in zip(phases, spans, strict=True)]


def spans_of(phases: Sequence[StepPhase]) -> Iterator[tuple[float, float]]:
    """Start and end of each phase, in seconds."""
    start = 0.0
    for phase in phases:
        yield start, start + phase.seconds
        start += phase.seconds


def direction_changes(counts: Sequence[int]) -> int:
    """Number of changes from rising to falling and from falling to rising."""
    rises = [after > before for before, after in pairwise(counts) if after != before]
    return sum(before != after for before, after in pairwise(rises))


def scaled_after_s(questions: Sequence[SentRequest], span: tuple[float, float], budget_s: float) -> float | None:
    """Whole seconds from the start of the span until the 95th percentile over WINDOW_S is within the budget.

    None if it never is, or if nothing was sent.
    """
    start, end = span
    last = max(0, int(end - start - WINDOW_S))
    for second in range(last + 1):
        times = _latencies(questions, (start + second, start + second + WINDOW_S))
        if times and percentile(times, 0.95) <= budget_s:
            return float(second)
    return None


def first_file_s(sent: Sequence[SentRequest]) -> float:
    """Latency of the first file, which waits for the stage to start from zero replicas. 0 without files."""
    return next((request.latency_s for request in sent if request.path == PARSE and not request.error), 0.0)


def _row(
    phase: StepPhase,
    span: tuple[float, float],
    sent: Sequence[SentRequest],
    samples: Sequence[Sample],
    budget_s: float,
) -> PhaseRow:
    start, end = span
    questions = [request for request in sent if request.path == ASK]
    times = _latencies(questions, span)
    scaled = scaled_after_s(questions, span, budget_s)
    scaled_times = _latencies(questions, (start + (scaled or 0.0), end))
    replicas = [sample.replicas for sample in samples if start <= sample.at_s < end]
    return PhaseRow(
        phase=phase,
        offered_per_s=sum(start <= question.at_s < end for question in questions) / phase.seconds,
        done_per_s=sum(start <= question.ended_s < end and not question.error for question in questions)
        / phase.seconds,
        p50_s=percentile(times, 0.50),
        p95_s=percentile(times, 0.95),
        p99_s=percentile(times, 0.99),
        failed=sum(start <= request.at_s < end and bool(request.error) for request in sent),
        budget_s=budget_s,
        scaled_after_s=scaled,
        p95_scaled_s=percentile(scaled_times, 0.95),
        stages={
            name: StageRange.of([counts[name] for counts in replicas]) for name in (replicas[0] if replicas else ())
        },
    )


def _latencies(questions: Sequence[SentRequest], span: tuple[float, float]) -> list[float]:
    """Of the questions sent within the span, in rising order; infinite for a failed one."""
    start, end = span
    sent = (question for question in questions if start <= question.at_s < end)
    return sorted(float("inf") if question.error else question.latency_s for question in sent)
