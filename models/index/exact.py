"""Nearest neighbours by comparing with every vector: the oracle that approximate indexes are checked against."""

import threading

import numpy as np

from models.index.base import check_vectors
from models.types import FloatArray, KeyArray, Ranking


class ExactIndex:
    """A DenseIndex in one numpy matrix. Ties keep the order of addition."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._keys: KeyArray = np.empty(0, np.int64)
        self._vectors: FloatArray = np.empty((0, dim), np.float32)
        self._lock = threading.Lock()

    def add(self, keys: KeyArray, vectors: FloatArray) -> None:
        check_vectors(self.dim, vectors, num_keys=len(keys))
        with self._lock:
            self._keys = np.concatenate([self._keys, keys])
            self._vectors = np.concatenate([self._vectors, vectors])

    def remove(self, keys: KeyArray) -> None:
        with self._lock:
            kept = ~np.isin(self._keys, keys)
            self._keys, self._vectors = self._keys[kept], self._vectors[kept]

    def search(self, vectors: FloatArray, k: int) -> list[Ranking]:
        check_vectors(self.dim, vectors)
        with self._lock:
            keys, scores = self._keys, vectors @ self._vectors.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return [Ranking(keys[order], row[order]) for row, order in zip(scores, best, strict=True)]

    def __len__(self) -> int:
        return len(self._keys)
