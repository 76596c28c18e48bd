"""All measurements of a run, for the budgets and the report."""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from loadtests.budgets import Samples


@dataclass(frozen=True)
class Sample:
    """One measurement: when it ended, in seconds since the start of the run, and how many seconds it took.

    `degraded` names the stages that an answer was made without.
    """

    at_s: float
    seconds: float
    failed: bool = False
    degraded: tuple[str, ...] = ()


Samplings = dict[str, list[Sample]]


def _table() -> Samplings:
    return defaultdict(list)


@dataclass
class Recorder:
    """Requests and first texts by endpoint, stages by name, and the users over time as (second, users).

    `setup`: what users do beside the measured requests, by name, such as creating a vector store and polling.
    """

    requests: Samplings = field(default_factory=_table)
    first_texts: Samplings = field(default_factory=_table)
    stages: Samplings = field(default_factory=_table)
    setup: Samplings = field(default_factory=_table)
    users: list[tuple[float, int]] = field(default_factory=list)
    started_at: float = field(default_factory=time.perf_counter)
    duration_s: float = 0.0

    def start(self) -> None:
        """The run's time begins."""
        self.started_at, self.duration_s = time.perf_counter(), 0.0

    def stop(self) -> None:
        """The run's time ends. Rates are over the time from `start` to here."""
        self.duration_s = self.now_s()

    def now_s(self) -> float:
        return time.perf_counter() - self.started_at

    def add_request(self, name: str, seconds: float, failed: bool, degraded: Iterable[str] = ()) -> None:
        self.requests[name].append(Sample(self.now_s(), seconds, failed, tuple(degraded)))

    def add_first_text(self, name: str, seconds: float) -> None:
        self.first_texts[name].append(Sample(self.now_s(), seconds))

    def add_stage(self, name: str, seconds: float, failed: bool = False) -> None:
        self.stages[name].append(Sample(self.now_s(), seconds, failed))

    def add_setup(self, name: str, seconds: float, failed: bool) -> None:
        self.setup[name].append(Sample(self.now_s(), seconds, failed))

    @property
    def num_requests(self) -> int:
        return sum(len(samples) for samples in self.requests.values())

    def by_endpoint(self) -> dict[str, Samples]:
        """What budgets limit, by endpoint."""
        return {name: _samples(samples, self.first_texts.get(name, [])) for name, samples in self.requests.items()}

    def by_stage(self) -> dict[str, Samples]:
        return {name: _samples(samples) for name, samples in self.stages.items()}

    def degraded_stages(self) -> dict[str, int]:
        """The number of answers without each stage, most first."""
        counts: dict[str, int] = defaultdict(int)
        for samples in self.requests.values():
            for stage in (stage for sample in samples for stage in sample.degraded):
                counts[stage] += 1
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    def setup_problems(self) -> list[str]:
        """One line for each kind of set-up call that failed: what it prepares was then not measured."""
        failures = {name: sum(sample.failed for sample in samples) for name, samples in self.setup.items()}
        return [
            f"set-up: {count} of {len(self.setup[name])} calls to {name} failed"
            for name, count in failures.items()
            if count
        ]


def _samples(samples: list[Sample], first_texts: list[Sample] | None = None) -> Samples:
    good = [sample for sample in samples if not sample.failed]
    return Samples(
        [sample.seconds for sample in good],
        [sample.seconds for sample in first_texts or []],
        num_errors=len(samples) - len(good),
        num_degraded=sum(bool(sample.degraded) for sample in good),
    )


# Locust makes the users itself, from their classes, so that they cannot be given one.
recorder = Recorder()
