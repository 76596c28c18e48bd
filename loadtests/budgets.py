"""Latency and error budgets by endpoint and by stage, and the check of a run against them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

BUILT_IN = Path(__file__).with_name("budgets.yaml")


class StageBudget(BaseModel):
    """Limits of one stage of a query, as the service times it; None: unlimited."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    p50_s: float | None = Field(default=None, gt=0, description="Median, in seconds.")
    p95_s: float | None = Field(default=None, gt=0, description="95th percentile, in seconds.")
    p99_s: float | None = Field(default=None, gt=0, description="99th percentile, in seconds.")


class Budget(StageBudget):
    """Limits of one endpoint, to the end of the response; None: unlimited."""

    ttft_p95_s: float | None = Field(
        default=None, gt=0, description="95th percentile to a stream's first text, in seconds."
    )
    max_error_ratio: float = Field(default=0.0, ge=0, le=1, description="Fraction of failed and refused requests.")
    max_degraded_ratio: float = Field(
        default=1.0, ge=0, le=1, description="Fraction of answers that were made without a stage."
    )


class Budgets(BaseModel):
    """Budgets by endpoint and by stage. A name that a run does not measure is reported, and fails nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoints: dict[str, Budget] = Field(default_factory=dict, description="By endpoint.")
    stages: dict[str, StageBudget] = Field(default_factory=dict, description="By stage of a query.")

    @staticmethod
    def read(path: Path = BUILT_IN) -> "Budgets":
        """Raises pydantic.ValidationError for an unknown key and for a value out of range."""
        return Budgets.model_validate(yaml.safe_load(path.read_text()) or {})


@dataclass(frozen=True)
class Samples:
    """Measurements of one name: seconds of what succeeded, in any order, its errors and its degraded answers."""

    seconds: Sequence[float]
    first_text_s: Sequence[float] = ()
    num_errors: int = 0
    num_degraded: int = 0

    @property
    def error_ratio(self) -> float:
        count = len(self.seconds) + self.num_errors
        return self.num_errors / count if count else 0.0

    @property
    def degraded_ratio(self) -> float:
        return self.num_degraded / len(self.seconds) if self.seconds else 0.0


Measured = dict[str, Samples]


@dataclass(frozen=True)
class Absent:
    """Names with a budget that nothing was measured of. The stages include the first texts of streams."""

    endpoints: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()


def quantile(values: Sequence[float], fraction: float) -> float:
    """Quantile by nearest rank. Raises IndexError without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]


def violations(budgets: Budgets, endpoints: Measured, stages: Measured) -> list[str]:
    """One line for each limit that an endpoint or a stage exceeded. Names without a budget are skipped."""
    lines = []
    for name, budget in budgets.endpoints.items():
        if name in endpoints:
            lines += _exceeded_ratios(name, budget, endpoints[name])
            lines += _exceeded_times(name, budget, endpoints[name])
    for name, stage_budget in budgets.stages.items():
        if name in stages:
            lines += _exceeded_times(f"stage {name}", stage_budget, stages[name])
    return lines


def absent(budgets: Budgets, endpoints: Measured, stages: Measured) -> Absent:
    """The names with a budget that nothing was measured of: none of their requests succeeded, or none was sent."""
    silent = [name for name in budgets.endpoints if name not in endpoints or not endpoints[name].seconds]
    first_texts = [
        f"{name}, first text"
        for name, budget in budgets.endpoints.items()
        if budget.ttft_p95_s and not (name in endpoints and endpoints[name].first_text_s)
    ]
    silent_stages = [name for name in budgets.stages if name not in stages or not stages[name].seconds]
    return Absent(tuple(silent), (*silent_stages, *first_texts))


def _exceeded_ratios(name: str, budget: Budget, samples: Samples) -> list[str]:
    ratios = [
        ("errors", samples.error_ratio, budget.max_error_ratio),
        ("degraded", samples.degraded_ratio, budget.max_degraded_ratio),
    ]
    return [f"{name}: {ratio:.1%} {label}, {limit:.1%} allowed" for label, ratio, limit in ratios if ratio > limit]


def _exceeded_times(name: str, budget: StageBudget, samples: Samples) -> list[str]:
    limits = [
        ("p50", samples.seconds, 0.5, budget.p50_s),
        ("p95", samples.seconds, 0.95, budget.p95_s),
        ("p99", samples.seconds, 0.99, budget.p99_s),
    ]
    if isinstance(budget, Budget):
        limits.append(("time to first text, p95", samples.first_text_s, 0.95, budget.ttft_p95_s))
    return [
        f"{name}: {label} {quantile(values, fraction):.3f} s, {limit_s:g} s allowed"
        for label, values, fraction, limit_s in limits
        if limit_s is not None and values and quantile(values, fraction) > limit_s
    ]
