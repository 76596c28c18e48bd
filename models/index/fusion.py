"""Several rankings of one query made into one. Ties keep the order of first appearance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidRequestError
from models.types import FloatArray, Ranking

FusionMethod = Literal["min_max", "rrf"]


@dataclass(frozen=True)
class Fusion:
    """How rankings become one: `weights` has one a ranking, in their order; empty means all alike.

    `rrf_k` is the constant of reciprocal rank fusion, and unused by min_max.
    """

    method: FusionMethod = "min_max"
    weights: tuple[float, ...] = ()
    rrf_k: int = 60


def fuse(rankings: Sequence[Ranking], fusion: Fusion) -> Ranking:
    """The rankings of one query merged as `fusion` says; scores are 0 to 1, which for rrf is first in every ranking.

    Raises InvalidRequestError for an unknown method, or numbers that the method refuses.
    """
    weights = fusion.weights or None
    if fusion.method == "rrf":
        fused = reciprocal_rank_fusion(rankings, fusion.rrf_k, weights)
        best = sum(weights or [1.0] * len(rankings)) / (fusion.rrf_k + 1)
        return Ranking(fused.keys, (fused.scores / best).astype(np.float32))
    if fusion.method == "min_max":
        return min_max_fusion(rankings, weights)
    raise InvalidRequestError(
        f"fusion is {fusion.method!r}; it is one of {', '.join(get_args(FusionMethod))}", "fusion"
    )


def reciprocal_rank_fusion(rankings: Sequence[Ranking], k: int = 60, weights: Sequence[float] | None = None) -> Ranking:
    """Merge by rank alone: score = sum of weight / (k + rank), rank from 1.

    Raises InvalidRequestError if k < 1, or for weights that are negative, all zero, or not one a ranking.
    Source: Cormack et al., SIGIR 2009 (k = 60 there).
    """
    if k < 1:
        raise InvalidRequestError(f"k is {k}; reciprocal rank fusion needs at least 1", "k")
    shares = _checked_weights(rankings, weights)
    parts = [share / (k + np.arange(1, len(ranking) + 1)) for ranking, share in zip(rankings, shares, strict=True)]
    return _sum_by_key(rankings, parts)


def min_max_fusion(rankings: Sequence[Ranking], weights: Sequence[float] | None = None) -> Ranking:
    """Merge by score: the weighted mean of each ranking's scores, scaled so that its best is 1 and its worst 0.

    A hit that a ranking lacks counts 0 there; a ranking whose scores are all equal counts 1 for each.
    Raises InvalidRequestError for weights that are negative, all zero, or not one a ranking.
    """
    shares = _checked_weights(rankings, weights)
    parts = [share * scale_to_unit(ranking.scores) for ranking, share in zip(rankings, shares, strict=True)]
    return _sum_by_key(rankings, [part / sum(shares) for part in parts])


def scale_to_unit(scores: FloatArray) -> NDArray[np.float64]:
    """`scores` (n,) shifted and scaled to 0..1; all 1 if they are equal."""
    if not len(scores):
        return np.empty(0, np.float64)
    low, high = float(scores.min()), float(scores.max())
    if high == low:
        return np.ones(len(scores))
    return (scores.astype(np.float64) - low) / (high - low)


def _checked_weights(rankings: Sequence[Ranking], weights: Sequence[float] | None) -> list[float]:
    if weights is None:
        return [1.0] * len(rankings)
    if len(weights) != len(rankings):
        raise InvalidRequestError(f"{len(weights)} weights came with {len(rankings)} rankings", "weights")
    if min(weights, default=0.0) < 0 or (rankings and sum(weights) <= 0):
        raise InvalidRequestError("weights must not be negative, and one must be positive", "weights")
    return list(weights)


def _sum_by_key(rankings: Sequence[Ranking], parts: Sequence[NDArray[np.float64]]) -> Ranking:
    if not rankings:
        return Ranking.empty()
    all_keys = np.concatenate([ranking.keys for ranking in rankings])
    keys, first, owner = np.unique(all_keys, return_index=True, return_inverse=True)
    scores = np.bincount(owner, weights=np.concatenate(parts), minlength=len(keys)).astype(np.float32)
    best_first = np.lexsort((first, -scores))
    return Ranking(keys[best_first], scores[best_first])
