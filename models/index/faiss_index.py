"""Nearest neighbours with FAISS: a flat index, exact, whose vectors can be removed."""

import threading

import numpy as np

from models.index.base import check_vectors
from models.types import FloatArray, KeyArray, Ranking

NO_KEY = -1  # what FAISS puts where it found fewer than k, so it cannot be a key


class FaissIndex:
    """A DenseIndex over IndexFlatIP. Searches and writes take turns: FAISS forbids them at the same time."""

    def __init__(self, dim: int, num_threads: int = 1) -> None:
        import faiss

        self.dim = dim
        self._num_threads = num_threads
        self._faiss = faiss
        self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(dim))
        self._lock = threading.Lock()

    def add(self, keys: KeyArray, vectors: FloatArray) -> None:
        check_vectors(self.dim, vectors, num_keys=len(keys))
        with self._lock:
            self._index.add_with_ids(np.ascontiguousarray(vectors), np.ascontiguousarray(keys))

    def remove(self, keys: KeyArray) -> None:
        if not len(keys):
            return
        with self._lock:
            self._index.remove_ids(self._faiss.IDSelectorBatch(np.ascontiguousarray(keys)))

    def search(self, vectors: FloatArray, k: int) -> list[Ranking]:
        check_vectors(self.dim, vectors)
        with self._lock:
            depth = min(k, self._index.ntotal)
            if not depth or not len(vectors):
                return [Ranking.empty() for _ in vectors]
            # OpenMP keeps this number per calling thread, so it is set where the search runs.
            self._faiss.omp_set_num_threads(self._num_threads)
            scores, keys = self._index.search(np.ascontiguousarray(vectors), depth)
        found = keys != NO_KEY
        return [Ranking(keys[row][found[row]], scores[row][found[row]]) for row in range(len(vectors))]

    def __len__(self) -> int:
        return int(self._index.ntotal)
