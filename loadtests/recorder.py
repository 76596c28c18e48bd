"""Everything that was measured during a run, by second: what the budgets and the report are made of."""

from collections import defaultdict
from dataclasses import dataclass, field

from loadtests.budgets import Samples

FIRST_TEXT, STAGE = "TTFT", "STAGE"  # Locust's request types of what is no request of its own
UNBUDGETED = "setup"


@dataclass(frozen=True)
class Sample:
    """One measurement: seconds since the run began, and its own seconds."""

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
        """What budgets are checked against."""
        return {
            name: Samples(
                [one.seconds for one in samples if not one.failed],
                [one.seconds for one in self.first_texts.get(name, [])],
                sum(one.failed for one in samples),
            )
            for name, samples in self.requests.items()
            if name != UNBUDGETED
        }
