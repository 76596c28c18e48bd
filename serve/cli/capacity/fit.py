"""From times that were measured to fixed_s + per_item_s n, by least squares of the relative error."""

import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np

from serve.cli.capacity.profile import Growth, growth_of

MIN_REPEATS = 3


def timed(work: Callable[[], object], budget_s: float) -> float:
    """The median seconds of one call, after one that warms up; at least three calls, more within the budget."""
    work()
    took: list[float] = []
    end = time.perf_counter() + budget_s
    while len(took) < MIN_REPEATS or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return median(took)


def fit(sizes: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """fixed_s and per_item_s, neither below 0, so that the errors are least as shares of the times."""
    items, took = np.asarray(sizes, float), np.asarray(seconds, float)
    rows = np.stack([1 / took, items / took], axis=1)
    fixed, per_item = np.linalg.lstsq(rows, np.ones(len(items)), rcond=None)[0]
    if fixed < 0:
        fixed, per_item = 0.0, float(np.mean(took / items))
    if per_item <= 0:
        fixed, per_item = float(np.mean(took)), 1e-9
    return rounded(fixed), rounded(per_item)


def rounded(seconds: float) -> float:
    """To four digits, which is more than is known."""
    return float(f"{seconds:.4g}")


def fit_growth(kind: str, few: tuple[int, float], many: tuple[int, float]) -> tuple[float, Growth]:
    """The constant part of per_item_s, and the part that grows; `few` and `many` are (chunks, per_item_s)."""
    share = growth_of(kind, few[0]) / growth_of(kind, many[0])
    grown = min(max(0.0, (many[1] - few[1]) / (1 - share)), many[1])
    growth = Growth.model_validate({"kind": kind, "at_chunks": many[0], "per_item_s": rounded(grown)})
    return max(1e-9, rounded(many[1] - grown)), growth
