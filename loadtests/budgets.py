"""Latency and error budgets by endpoint, and the check of a run against them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, RootModel

BUILT_IN = Path(__file__).with_name("budgets.yaml")


class Budget(BaseModel):
    """Limits of one endpoint; None: unlimited."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    p50_s: float | None = Field(default=None, gt=0, description="Median seconds to the end of the response.")
    p95_s: float | None = Field(default=None, gt=0, description="95th percentile of the same time.")
    p99_s: float | None = Field(default=None, gt=0, description="99th percentile of the same time.")
    ttft_p95_s: float | None = Field(
        default=None, gt=0, description="95th percentile to a stream's first text, in seconds."
    )
    max_error_ratio: float = Field(default=0.0, ge=0, le=1, description="Fraction of failed and refused requests.")


class Budgets(RootModel[dict[str, Budget]]):
    """A budget by endpoint."""

    @staticmethod
    def read(path: Path = BUILT_IN) -> "Budgets":
        """Raises pydantic.ValidationError for an unknown key and for a value out of range."""
        return Budgets.model_validate(yaml.safe_load(path.read_text()) or {})


@dataclass(frozen=True)
class Samples:
    """Measurements of one endpoint: seconds of its successful requests, in any order, and its errors."""

    seconds: Sequence[float]
    first_text_s: Sequence[float]
    num_errors: int

    @property
    def error_ratio(self) -> float:
        count = len(self.seconds) + self.num_errors
        return self.num_errors / count if count else 0.0


def quantile(values: Sequence[float], fraction: float) -> float:
    """Quantile by nearest rank. Raises IndexError without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]


def violations(budgets: Budgets, samples_by_endpoint: dict[str, Samples]) -> list[str]:
    """One line for each limit that an endpoint exceeded. Endpoints without a budget are skipped."""
    lines = []
    for name, samples in samples_by_endpoint.items():
        budget = budgets.root.get(name)
        if budget is None:
            continue
        if samples.error_ratio > budget.max_error_ratio:
            lines.append(f"{name}: {samples.error_ratio:.1%} errors, {budget.max_error_ratio:.1%} allowed")
        limits = [
            ("p50", samples.seconds, 0.5, budget.p50_s),
            ("p95", samples.seconds, 0.95, budget.p95_s),
            ("p99", samples.seconds, 0.99, budget.p99_s),
            ("time to first text, p95", samples.first_text_s, 0.95, budget.ttft_p95_s),
        ]
        for label, values, fraction, limit_s in limits:
            if limit_s is not None and values and quantile(values, fraction) > limit_s:
                lines.append(f"{name}: {label} {quantile(values, fraction):.3f} s, {limit_s:g} s allowed")
    return lines
