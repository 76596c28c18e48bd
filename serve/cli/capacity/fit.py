"""Fit measured times to fixed_s + per_item_s n."""

import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np

from serve.cli.capacity.profile import Growth, growth_of

MIN_REPEATS = 3


def timed(work: Callable[[], object], budget_s: float) -> float:
    """Median seconds of one call, after a warm-up call. At least MIN_REPEATS calls, more within the budget."""
    work()
    times_s: list[float] = []
    end = time.perf_counter() + budget_s
    while len(times_s) < MIN_REPEATS or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        times_s.append(time.perf_counter() - start)
    return median(times_s)


def fit(sizes: Sequence[int], times_s: Sequence[float]) -> tuple[float, float]:
    """(fixed_s, per_item_s), neither negative. Non-negative least squares on the relative error."""
    items, seconds = np.asarray(sizes, float), np.asarray(times_s, float)
    rows = np.stack([1 / seconds, items / seconds], axis=1)
    fixed, per_item = np.linalg.lstsq(rows, np.ones(len(items)), rcond=None)[0]
    if fixed < 0:
        fixed, per_item = 0.0, float(np.mean(seconds / items))
    if per_item <= 0:
        fixed, per_item = float(np.mean(seconds)), 1e-9
    return rounded(fixed), rounded(per_item)


def rounded(seconds: float) -> float:
    """Round to four digits: measurements are less precise than that."""
    return float(f"{seconds:.4g}")


def fit_growth(kind: str, small: tuple[int, float], large: tuple[int, float]) -> tuple[float, Growth]:
    """Split per_item_s into a constant and a growing part. `small` and `large` are (chunks, per_item_s)."""
    ratio = growth_of(kind, small[0]) / growth_of(kind, large[0])
    growing_s = min(max(0.0, (large[1] - small[1]) / (1 - ratio)), large[1])
    growth = Growth.model_validate({"kind": kind, "at_chunks": large[0], "per_item_s": rounded(growing_s)})
    return max(1e-9, rounded(large[1] - growing_s)), growth
