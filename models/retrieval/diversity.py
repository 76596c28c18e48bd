"""Choose results that are relevant and differ from each other."""

import numpy as np

from models.errors.requests import InvalidRequestError
from models.index.fusion import scale_to_unit
from models.types.arrays import FloatArray, KeyArray


def maximal_marginal_relevance(scores: FloatArray, vectors: FloatArray, k: int, diversity: float) -> KeyArray:
    """Return the indexes (min(k, n),) of the chosen candidates, in order. Each step takes the highest gain.

    The gain of a candidate is (1 - diversity) * its score, scaled to 0..1, minus diversity * its highest cosine to a
    chosen candidate. `scores` is (n,), `vectors` (n, dim) has unit rows. The best score is always first. A diversity of
    0 sorts by score. Ties keep the candidates' order. Raises InvalidRequestError for a diversity outside 0..1.
    Source: Carbonell and Goldstein, SIGIR 1998 (lambda there is 1 - diversity).
    """
    if not 0 <= diversity <= 1:
        raise InvalidRequestError(f"diversity is {diversity}; it must be 0 to 1", "diversity")
    relevance = scale_to_unit(scores)
    max_cosine, is_unchosen, gains = np.full(len(scores), -1.0), np.ones(len(scores), np.bool_), relevance
    order = np.empty(max(0, min(k, len(scores))), np.int64)
    for rank in range(len(order)):
        best = order[rank] = int(np.argmax(np.where(is_unchosen, gains, -np.inf)))
        is_unchosen[best] = False
        max_cosine = np.maximum(max_cosine, vectors @ vectors[best])
        gains = (1 - diversity) * relevance - diversity * max_cosine
    return order
