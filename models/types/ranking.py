"""Hits of a search, by the keys of their chunks."""

from dataclasses import dataclass

import numpy as np

from models.types.arrays import FloatArray, KeyArray


@dataclass(frozen=True)
class Ranking:
    """Hits of one query, best first: `keys` (n,) int64 chunk keys and their `scores` (n,) float32, higher is better."""

    keys: KeyArray
    scores: FloatArray

    @staticmethod
    def empty() -> "Ranking":
        return Ranking(np.empty(0, np.int64), np.empty(0, np.float32))

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class LexicalRanking:
    """The result of a keyword search: the hits, and the weight of each word of the query.

    `term_weights` maps a lower-cased word of the query to its inverse document frequency in the searched stores. A
    word that is in no chunk has the highest weight.
    """

    ranking: Ranking
    term_weights: dict[str, float]
