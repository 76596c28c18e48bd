"""Nearest neighbours by comparison with every vector. Tests check approximate indexes against it."""

import threading
from collections.abc import Mapping

import numpy as np

from models.filters import Attributes, Filter
from models.index.attributes import FileAttributes
from models.index.base import check_vectors
from models.types.arrays import FloatArray, KeyArray
from models.types.ranking import Ranking


class ExactIndex:
    """A DenseIndex in one numpy matrix. Ties keep the order of insertion."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._keys: KeyArray = np.empty(0, np.int64)
        self._slots = np.empty(0, np.int32)
        self._vectors: FloatArray = np.empty((0, dim), np.float32)
        self._files = FileAttributes()
        self._lock = threading.Lock()

    def add(self, keys: KeyArray, file_keys: KeyArray, vectors: FloatArray) -> None:
        check_vectors(self.dim, vectors, keys, file_keys)
        with self._lock:
            self._keys = np.concatenate([self._keys, keys])
            self._slots = np.concatenate([self._slots, self._files.slots(file_keys)])
            self._vectors = np.concatenate([self._vectors, vectors])

    def remove(self, keys: KeyArray) -> None:
        with self._lock:
            stays = ~np.isin(self._keys, keys)
            self._keys, self._slots, self._vectors = self._keys[stays], self._slots[stays], self._vectors[stays]

    def set_attributes(self, attributes: Mapping[int, Attributes]) -> None:
        with self._lock:
            self._files.set(attributes)

    def search(self, vectors: FloatArray, k: int, where: Filter | None = None) -> list[Ranking]:
        check_vectors(self.dim, vectors)
        with self._lock:
            keys, rows = self._keys, self._vectors
            if where is not None:
                allowed = self._files.allowed(where)[self._slots]
                keys, rows = keys[allowed], rows[allowed]
        scores = vectors @ rows.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return [Ranking(keys[order], row[order]) for row, order in zip(scores, best, strict=True)]

    def __len__(self) -> int:
        return len(self._keys)
