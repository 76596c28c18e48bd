"""Results that are relevant and unlike each other."""

import numpy as np

from models.errors import InvalidRequestError
from models.index.fusion import scale_to_unit
from models.types import FloatArray, KeyArray


def maximal_marginal_relevance(scores: FloatArray, vectors: FloatArray, k: int, diversity: float) -> KeyArray:
    """Places (min(k, n),) of the candidates to show, in order: each time the one that adds most to those before it.

    What one adds is (1 - diversity) * its score, scaled to 0..1, minus diversity * its highest cosine to one already
    chosen. `scores` (n,), `vectors` (n, dim) unit rows. The best score is always first; a diversity of 0 orders by
    score. Ties keep the candidates' order. Raises InvalidRequestError for a diversity outside 0..1.
    Source: Carbonell and Goldstein, SIGIR 1998 (lambda there is 1 - diversity).
    """
    if not 0 <= diversity <= 1:
        raise InvalidRequestError(f"diversity is {diversity}; it must be 0 to 1", "diversity")
    relevance = scale_to_unit(scores)
    nearest, is_free, gains = np.full(len(scores), -1.0), np.ones(len(scores), np.bool_), relevance
    order = np.empty(max(0, min(k, len(scores))), np.int64)
    for place in range(len(order)):
        best = order[place] = int(np.argmax(np.where(is_free, gains, -np.inf)))
        is_free[best] = False
        nearest = np.maximum(nearest, vectors @ vectors[best])
        gains = (1 - diversity) * relevance - diversity * nearest
    return order
