"""Two readings of the metrics, and what happened between them."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Reading:
    """The values of `ragserve_` samples by name (without the prefix) and labels. Those of several nodes are added."""

    values: Mapping[str, Mapping[Labels, float]]
    at_s: float

    @staticmethod
    def of(pages: Iterable[str]) -> "Reading":
        """From pages in Prometheus' text format."""
        values: defaultdict[str, defaultdict[Labels, float]] = defaultdict(lambda: defaultdict(float))
        for page in pages:
            for family in text_string_to_metric_families(page):
                for sample in family.samples:
                    if sample.name.startswith("ragserve_"):
                        values[sample.name.removeprefix("ragserve_")][frozenset(sample.labels.items())] += sample.value
        return Reading(values, time.monotonic())

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        return sum(value for key, value in self.values.get(name, {}).items() if labels.items() <= dict(key).items())


@dataclass(frozen=True)
class Interval:
    """From one reading to the next."""

    before: Reading
    after: Reading
    seconds: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", max(1e-9, self.after.at_s - self.before.at_s))

    def increase(self, name: str, **labels: str) -> float:
        """How much a counter grew; from 0 if it began again."""
        before, after = self.before.total(name, **labels), self.after.total(name, **labels)
        return after - before if after >= before else after

    def mean(self, histogram: str, **labels: str) -> float | None:
        count = self.increase(f"{histogram}_count", **labels)
        return self.increase(f"{histogram}_sum", **labels) / count if count else None

    def quantile(self, share: float, histogram: str, **labels: str) -> float | None:
        """As Prometheus' histogram_quantile: linear inside a bucket, and the last bound above all buckets."""
        bounds = {dict(key)["le"] for key in self.after.values.get(f"{histogram}_bucket", {})}
        counts = [
            (float(bound), self.increase(f"{histogram}_bucket", le=bound, **labels))
            for bound in sorted(bounds, key=float)
        ]
        if not counts or not counts[-1][1]:
            return None
        rank, lower, below = share * counts[-1][1], 0.0, 0.0
        for bound, count in counts:
            if count >= rank:
                return lower if bound == float("inf") else lower + (bound - lower) * (rank - below) / (count - below)
            lower, below = bound, count
        return lower
