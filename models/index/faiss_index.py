"""Nearest neighbours with FAISS: flat, HNSW or IVF-PQ, with removals and filters by bitmap."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.errors.requests import ConflictError
from models.filters import Attributes, Filter
from models.index.attributes import FileAttributes
from models.index.attributes_snapshot import read_state, write_state
from models.index.base import check_vectors
from models.index.device_engine import DeviceFlatEngine
from models.index.faiss_config import FaissConfig
from models.index.faiss_engine import Allowed, Engine, Neighbours, make_engine, selector
from models.index.faiss_rows import FaissRows
from models.types.arrays import FloatArray, KeyArray
from models.types.ranking import Ranking

VECTORS_FILE, ROWS_FILE = "vectors.faiss", "rows.npz"
# Measured with 100k x 384: up to about this fraction, copying the allowed rows is faster than skipping the others.
MAX_GATHERED_FRACTION = 0.1


class FaissIndex:
    """A DenseIndex and Snapshotting. A lock separates searches and writes: FAISS forbids them at the same time.

    If an approximate search returns fewer than `k` of at least `k` rows, the query is searched again exactly.
    """

    def __init__(self, dim: int, config: FaissConfig) -> None:
        """Raises ConfigError if `config` does not fit `dim`, or needs a GPU that does not exist."""
        import faiss

        self.dim = dim
        self._faiss: Any = faiss
        self._config = config
        self._engine: Engine = DeviceFlatEngine(dim, "cuda") if config.gpu else make_engine(config, dim)
        self._rows = FaissRows()
        self._files = FileAttributes()
        self._lock = threading.Lock()

    def add(self, keys: KeyArray, file_keys: KeyArray, vectors: FloatArray) -> None:
        check_vectors(self.dim, vectors, keys, file_keys)
        if not len(keys):
            return
        with self._lock:
            self._set_threads()
            self._engine.add(np.ascontiguousarray(vectors, np.float32))
            self._rows.append(keys, self._files.slots(file_keys))

    def remove(self, keys: KeyArray) -> None:
        if not len(keys):
            return
        with self._lock:
            self._rows.kill(keys)
            if len(self._rows) - self._rows.num_alive > self._engine.max_dead * len(self._rows):
                self._compact()

    def set_attributes(self, attributes: Mapping[int, Attributes]) -> None:
        with self._lock:
            self._files.set(attributes)

    def search(self, vectors: FloatArray, k: int, where: Filter | None = None) -> list[Ranking]:
        check_vectors(self.dim, vectors)
        with self._lock:
            allowed = self._allowed(where)
            depth = min(k, allowed.num)
            if depth < 1 or not len(vectors):
                return [Ranking.empty() for _ in vectors]
            self._set_threads()
            neighbours = self._search(np.ascontiguousarray(vectors, np.float32), depth, allowed)
            return [
                Ranking(self._rows.keys[positions], scores)
                for positions, scores in zip(neighbours.positions, neighbours.scores, strict=True)
            ]

    def save(self, folder: Path) -> None:
        with self._lock:
            self._faiss.write_index(self._engine.index, str(folder / VECTORS_FILE))
            file_keys = self._files.file_keys[self._rows.slots]
            np.savez(folder / ROWS_FILE, keys=self._rows.keys, file_keys=file_keys, alive=self._rows.alive)
            write_state(folder, self._snapshot_kind, self._files)

    def load(self, folder: Path) -> None:
        with self._lock:
            if len(self._rows):
                raise ConflictError("only an empty index can load a snapshot")
            attributes = read_state(folder, self._snapshot_kind)
            try:
                with np.load(folder / ROWS_FILE) as rows:
                    keys, file_keys, alive = rows["keys"], rows["file_keys"], rows["alive"]
                self._engine.adopt(self._faiss.read_index(str(folder / VECTORS_FILE)))
            except (OSError, RuntimeError) as error:  # FAISS raises RuntimeError
                raise ConflictError(f"the snapshot in {folder} was deleted meanwhile: {error}") from error
            self._files.set(attributes)
            self._rows.restore(keys, self._files.slots(file_keys), alive)

    def __len__(self) -> int:
        return self._rows.num_alive

    @property
    def _snapshot_kind(self) -> dict[str, Any]:
        return {"index": "faiss", "dim": self.dim} | self._config.structure

    def _allowed(self, where: Filter | None) -> Allowed:
        if where is None:
            return Allowed(self._rows.alive, self._rows.num_alive)
        mask = self._files.allowed(where)[self._rows.slots] & self._rows.alive
        return Allowed(mask, int(np.count_nonzero(mask)))

    def _search(self, vectors: FloatArray, depth: int, allowed: Allowed) -> Neighbours:
        if allowed.num == len(self._rows):
            neighbours = self._engine.search(vectors, depth, None)
        elif self._engine.is_exact and allowed.fraction > MAX_GATHERED_FRACTION:
            return self._engine.search(vectors, depth, allowed)
        elif self._engine.is_exact or allowed.num < min(self._config.exact_below, self._rows.num_alive):
            return self._search_exactly(vectors, depth, allowed)
        else:
            neighbours = self._engine.search(vectors, depth, allowed)
        incomplete = np.flatnonzero(neighbours.positions[:, -1] < 0)
        if len(incomplete):
            exact = self._search_exactly(vectors[incomplete], depth, allowed)
            neighbours.positions[incomplete], neighbours.scores[incomplete] = exact.positions, exact.scores
        return neighbours

    def _search_exactly(self, vectors: FloatArray, depth: int, allowed: Allowed) -> Neighbours:
        """Compare with every allowed row, by the original vectors."""
        raw = self._engine.raw
        if allowed.fraction > MAX_GATHERED_FRACTION:
            parameters = self._faiss.SearchParameters(sel=selector(self._faiss, allowed))
            return Neighbours(*raw.search(vectors, depth, params=parameters))
        positions = np.flatnonzero(allowed.mask)
        gathered = raw.reconstruct_batch(positions)
        scores, nearest = self._faiss.knn(vectors, gathered, depth, metric=self._faiss.METRIC_INNER_PRODUCT)
        return Neighbours(scores, positions[nearest])

    def _compact(self) -> None:
        """Drop the dead rows."""
        self._set_threads()
        alive_rows = np.flatnonzero(self._rows.alive)
        self._engine.keep(alive_rows)
        self._rows.keep(alive_rows)

    def _set_threads(self) -> None:
        # OpenMP stores this number per calling thread, so it must be set in the thread that works.
        self._faiss.omp_set_num_threads(self._config.num_threads)
