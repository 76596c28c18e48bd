"""Merge several rankings of one query. Ties keep the order of first appearance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.errors.requests import InvalidRequestError
from models.types.arrays import FloatArray
from models.types.chunks import Passage
from models.types.ranking import Ranking

FusionMethod = Literal["min_max", "rrf"]


@dataclass(frozen=True)
class Fusion:
    """How to merge rankings. `weights` has one weight per ranking; empty means equal weights.

    `rrf_k` is the constant of reciprocal rank fusion. min_max does not use it.
    """

    method: FusionMethod = "min_max"
    weights: tuple[float, ...] = ()
    rrf_k: int = 60


def ranking_of(passages: Sequence[Passage]) -> Ranking:
    """The passages' keys and scores, in their order."""
    keys = np.array([passage.key for passage in passages], np.int64)
    return Ranking(keys, np.array([passage.score for passage in passages], np.float32))


def fuse(rankings: Sequence[Ranking], fusion: Fusion) -> Ranking:
    """Merge the rankings of one query. Scores are 0 to 1. With rrf, 1 means first in every ranking.

    Raises InvalidRequestError for an unknown method, or numbers that the method does not allow.
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

    Raises InvalidRequestError if k < 1, or for weights that are negative, all zero, or not one per ranking.
    Source: Cormack et al., SIGIR 2009 (k = 60 there).
    """
    if k < 1:
        raise InvalidRequestError(f"k is {k}; reciprocal rank fusion needs at least 1", "k")
    checked = zip(rankings, _checked_weights(rankings, weights), strict=True)
    return _sum_by_key(rankings, [weight / (k + np.arange(1, len(ranking) + 1)) for ranking, weight in checked])


def min_max_fusion(rankings: Sequence[Ranking], weights: Sequence[float] | None = None) -> Ranking:
    """Merge by score: the weighted mean of each ranking's scores, scaled so that its best is 1 and its worst 0.

    A hit that is not in a ranking scores 0 there. If all scores of a ranking are equal, each counts as 1.
    Raises InvalidRequestError for weights that are negative, all zero, or not one per ranking.
    """
    checked = _checked_weights(rankings, weights)
    scaled = [weight * scale_to_unit(ranking.scores) for ranking, weight in zip(rankings, checked, strict=True)]
    return _sum_by_key(rankings, [scores / sum(checked) for scores in scaled])


def scale_to_unit(scores: FloatArray) -> NDArray[np.float64]:
    """Shift and scale `scores` (n,) to 0..1. Equal scores all become 1."""
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
        raise InvalidRequestError(
            f"got {len(weights)} weights for {len(rankings)} rankings; the numbers must be equal", "weights"
        )
    if min(weights, default=0.0) < 0 or (rankings and sum(weights) <= 0):
        raise InvalidRequestError("weights must not be negative, and at least one must be positive", "weights")
    return list(weights)


def _sum_by_key(rankings: Sequence[Ranking], scores_by_ranking: Sequence[NDArray[np.float64]]) -> Ranking:
    if not rankings:
        return Ranking.empty()
    all_keys = np.concatenate([ranking.keys for ranking in rankings])
    keys, first, key_indexes = np.unique(all_keys, return_index=True, return_inverse=True)
    scores = np.bincount(key_indexes, weights=np.concatenate(scores_by_ranking), minlength=len(keys)).astype(np.float32)
    best_first = np.lexsort((first, -scores))
    return Ranking(keys[best_first], scores[best_first])
