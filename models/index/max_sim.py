"""MaxSim: each token of a query is matched with the most similar token of a document.

Source: Khattab and Zaharia, ColBERT, SIGIR 2020.
"""

from collections.abc import Sequence

import numpy as np

from models.types.arrays import FloatArray

LEAST_SIMILARITY = -1.0  # the cosine of opposite vectors: the score of a document without tokens


def max_sim(query: FloatArray, weights: FloatArray, tokens: FloatArray, lengths: Sequence[int]) -> FloatArray:
    """Scores (len(lengths),), -1 to 1: the weighted mean of each query token's best cosine in a document.

    `query` (n, dim), `weights` (n,); `tokens` (sum(lengths), dim) are the documents' tokens, document by document.
    """
    return weighted_best(query @ tokens.T, weights, lengths)


def weighted_best(similarities: FloatArray, weights: FloatArray, lengths: Sequence[int]) -> FloatArray:
    """The scores of `max_sim` from the `similarities` (n, sum(lengths)) of query tokens and document tokens."""
    scores = np.full(len(lengths), LEAST_SIMILARITY, np.float32)
    counts = np.array(lengths, np.int64)
    filled = counts > 0  # for an empty document, reduceat would return the first token of the next
    if not filled.any() or not len(similarities):
        return scores
    starts = np.cumsum(counts[filled]) - counts[filled]
    best = np.maximum.reduceat(similarities, starts, axis=1)
    scores[filled] = weights @ best / weights.sum()
    return scores
