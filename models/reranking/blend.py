"""The final score of a candidate: a weighted sum of the reranker's score and retrieval's rank."""

import numpy as np

from models.errors.requests import InvalidRequestError
from models.index.fusion import scale_to_unit
from models.types.arrays import FloatArray

# Retrieval's score falls to one half at rank 11. Measured on each public set: 10 was best or near the best among 3, 10
# and a linear decay. Reciprocal ranks on both sides and retrieval's own scores were not better.
FADE = 10


def blend(scores: FloatArray, retrieval_weight: float) -> FloatArray:
    """Final scores (n,), 0 to 1. The reranking `scores` are in retrieval's order, best first.

    (1 - weight) * scores scaled to 0..1, plus weight * FADE / (FADE + rank), rank from 0. A weight of 0 keeps the
    reranker's order, 1 retrieval's. A candidate without a score, NaN, has none here either.
    Raises InvalidRequestError for a weight outside 0..1.
    """
    if not 0 <= retrieval_weight <= 1:
        raise InvalidRequestError(f"retrieval_weight is {retrieval_weight}; it must be 0 to 1", "retrieval_weight")
    by_rank = FADE / (FADE + np.arange(len(scores)))
    scaled, has_score = np.full(len(scores), np.nan), ~np.isnan(scores)
    scaled[has_score] = scale_to_unit(scores[has_score])
    return ((1 - retrieval_weight) * scaled + retrieval_weight * by_rank).astype(np.float32)
