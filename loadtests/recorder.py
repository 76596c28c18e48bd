"""All measurements of a run, for the budgets and the report."""

from collections import defaultdict
from dataclasses import dataclass, field

from loadtests.budgets import Samples

FIRST_TEXT, STAGE = "TTFT", "STAGE"  # Locust's request types for measurements inside a request
UNBUDGETED = "setup"


@dataclass(frozen=True)
class Sample:
    """One measurement: when it ended, in seconds since the start of the run, and how many seconds it took."""

    at_s: float
    seconds: float
    failed: bool = False


@dataclass
class Recorder:
    """Requests by endpoint, first texts by endpoint, stages by name, and the users over time as (second, users)."""

    requests: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    first_texts: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    stages: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    users: list[tuple[float, int]] = field(default_factory=list)

    def add(self, kind: str, name: str, sample: Sample) -> None:
        table = {FIRST_TEXT: self.first_texts, STAGE: self.stages}.get(kind, self.requests)
        table[name].append(sample)

    @property
    def num_requests(self) -> int:
        return sum(len(samples) for samples in self.requests.values())

    def by_endpoint(self) -> dict[str, Samples]:
        """The measurements that have budgets, by endpoint."""
        return {
            name: Samples(
                [sample.seconds for sample in samples if not sample.failed],
                [sample.seconds for sample in self.first_texts.get(name, [])],
                sum(sample.failed for sample in samples),
            )
            for name, samples in self.requests.items()
            if name != UNBUDGETED
        }
