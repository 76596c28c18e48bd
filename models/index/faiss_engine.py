"""The kinds of FAISS index. Each numbers its vectors from 0 in the order of addition and forgets none by itself."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from models.errors import ConfigError, ConflictError
from models.index.attributes import BoolArray
from models.index.faiss_config import FaissConfig
from models.types import FloatArray, KeyArray

BLOCK_ROWS = 65_536  # copied at a time from an index into the next
MIN_CANDIDATES = 100  # that are refined, however few are asked for
# FAISS' own numbers of training vectors: a cell, of which it wants at least 39; for the 256 centroids of a PQ code.
CELL_POINTS, CODE_POINTS = 40, 256 * 256


@dataclass(frozen=True)
class Found:
    """Scores and positions (n, depth), best first; position -1 where too few were found."""

    scores: FloatArray
    positions: KeyArray


@dataclass(frozen=True)
class Allowed:
    """The rows that may be found: a bool a row, and how many."""

    mask: BoolArray
    num: int

    @property
    def share(self) -> float:
        return self.num / len(self.mask)


class Engine(Protocol):
    """One kind of index."""

    @property
    def is_exact(self) -> bool: ...

    @property
    def max_dead(self) -> float:
        """The share of dead rows past which it is better built anew."""

    @property
    def index(self) -> Any:
        """What is saved."""

    @property
    def raw(self) -> Any:
        """A FAISS index of the vectors as they came, or nearly: float32, or float16."""

    def add(self, vectors: FloatArray) -> None: ...

    def keep(self, positions: KeyArray) -> None:
        """Forgets all other vectors, and numbers these from 0."""

    def search(self, vectors: FloatArray, depth: int, allowed: Allowed | None) -> Found:
        """None allows every row."""

    def take_up(self, index: Any) -> None:
        """Goes on with an index that was read from a file. Raises ConflictError if it is of another kind."""


def make_engine(config: FaissConfig, dim: int) -> Engine:
    """Raises ConfigError for a code size that does not fit `dim`."""
    if config.kind == "flat":
        return FlatEngine(dim)
    if config.kind == "hnsw":
        return HnswEngine(config, dim)
    return IvfPqEngine(config, dim)


class FlatEngine:
    """Compares with every vector."""

    is_exact, max_dead = True, 0.25

    def __init__(self, dim: int) -> None:
        import faiss

        self._faiss: Any = faiss
        self._dim = dim
        self.index: Any = faiss.IndexFlatIP(dim)

    @property
    def raw(self) -> Any:
        return self.index

    def add(self, vectors: FloatArray) -> None:
        self.index.add(vectors)

    def keep(self, positions: KeyArray) -> None:
        before, self.index = self.index, self._faiss.IndexFlatIP(self._dim)
        for block in _blocks(positions):
            self.index.add(before.reconstruct_batch(block))

    def search(self, vectors: FloatArray, depth: int, allowed: Allowed | None) -> Found:
        if allowed is None:
            return Found(*self.index.search(vectors, depth))
        parameters = self._faiss.SearchParameters(sel=selector(self._faiss, allowed))
        return Found(*self.index.search(vectors, depth, params=parameters))

    def take_up(self, index: Any) -> None:
        self.index = _checked(index, self._faiss.IndexFlat, self._dim)


class HnswEngine:
    """A graph of neighbours. Dead rows stay in it as ways to others.

    A filter that shuts a question's whole neighbourhood out costs recall, once it lets more than `exact_below` through.
    """

    # To build it anew takes 0.1 ms a vector, while dead ones cost a search little.
    is_exact, max_dead = False, 0.5

    def __init__(self, config: FaissConfig, dim: int) -> None:
        import faiss

        self._faiss: Any = faiss
        self._config, self._dim = config, dim
        self.index: Any = self._empty()

    @property
    def raw(self) -> Any:
        return self._faiss.downcast_index(self.index.storage)

    def add(self, vectors: FloatArray) -> None:
        self.index.add(vectors)

    def keep(self, positions: KeyArray) -> None:
        before, self.index = self.index, self._empty()
        for block in _blocks(positions):
            self.index.add(before.reconstruct_batch(block))

    def search(self, vectors: FloatArray, depth: int, allowed: Allowed | None) -> Found:
        ef = max(self._config.hnsw_ef_search, depth)
        if allowed is None:
            parameters = self._faiss.SearchParametersHNSW(efSearch=ef)
        else:
            # Candidates that may not be found count as well, so there must be more of them.
            wider = math.ceil(ef / allowed.share)
            parameters = self._faiss.SearchParametersHNSW(efSearch=wider, sel=selector(self._faiss, allowed))
        return Found(*self.index.search(vectors, depth, params=parameters))

    def take_up(self, index: Any) -> None:
        self.index = _checked(index, self._faiss.IndexHNSWFlat, self._dim)

    def _empty(self) -> Any:
        index = self._faiss.IndexHNSWFlat(self._dim, self._config.hnsw_m, self._faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = self._config.hnsw_ef_construction
        return index


class IvfPqEngine:
    """Cells of coded vectors; the best candidates are compared once more, by their vectors in float16.

    Flat until there are enough to train with; trained again at each fourfold. Measured with 100k x 384: codes of a
    quarter of the dimensions alone have a recall@10 of 0.63, refined 1.00; float16 finds what float32 does, in half
    the memory.
    """

    max_dead = 0.25

    def __init__(self, config: FaissConfig, dim: int) -> None:
        import faiss

        if dim % config.code_size(dim):
            raise ConfigError("index.pq_m", f"it is {config.pq_m}, which does not divide vectors of {dim} dimensions")
        self._faiss: Any = faiss
        self._config, self._dim = config, dim
        self._flat = FlatEngine(dim)
        self._refined: Any = None
        self._train_at = config.train_at

    @property
    def is_exact(self) -> bool:
        return self._refined is None

    @property
    def index(self) -> Any:
        return self._flat.index if self._refined is None else self._refined

    @property
    def raw(self) -> Any:
        index = self._flat.index if self._refined is None else self._refined.refine_index
        return self._faiss.downcast_index(index)

    def add(self, vectors: FloatArray) -> None:
        self.index.add(vectors)
        if self.index.ntotal >= self._train_at:
            self._train()

    def keep(self, positions: KeyArray) -> None:
        if self._refined is None:
            self._flat.keep(positions)
        else:
            cells = self._faiss.downcast_index(self._refined.base_index)
            cells.reset()
            # A copy, with its training and nothing else, as the old one goes with the index that it is part of.
            self._refill(self._faiss.clone_index(cells), positions)

    def search(self, vectors: FloatArray, depth: int, allowed: Allowed | None) -> Found:
        if self._refined is None:
            return self._flat.search(vectors, depth, allowed)
        cells = {"nprobe": self._config.ivf_nprobe}
        if allowed is not None:
            cells["nprobe"] = math.ceil(cells["nprobe"] / allowed.share)
            cells["sel"] = selector(self._faiss, allowed)
        factor = max(self._config.refine_factor, math.ceil(MIN_CANDIDATES / depth))
        parameters = self._faiss.IndexRefineSearchParameters(
            k_factor=factor, base_index_params=self._faiss.SearchParametersIVF(**cells)
        )
        return Found(*self._refined.search(vectors, depth, params=parameters))

    def take_up(self, index: Any) -> None:
        if isinstance(index, self._faiss.IndexFlat):
            self._flat.take_up(index)
        else:
            self._refined = _checked(index, self._faiss.IndexRefine, self._dim)
            self._train_at = max(self._config.train_at, 4 * index.ntotal)

    def _train(self) -> None:
        num = self.raw.ntotal
        num_cells = self._config.num_cells(num)
        codes = self._config.code_size(self._dim)
        quantizer = self._faiss.IndexFlatIP(self._dim)
        cells = self._faiss.IndexIVFPQ(quantizer, self._dim, num_cells, codes, 8, self._faiss.METRIC_INNER_PRODUCT)
        # It prints a warning otherwise where `train_at` or `ivf_nlist` asks for less.
        cells.cp.min_points_per_centroid = cells.pq.cp.min_points_per_centroid = 1
        num_points = min(num, max(CELL_POINTS * num_cells, CODE_POINTS))
        sample = np.sort(np.random.default_rng(0).choice(num, num_points, replace=False))
        cells.train(self.raw.reconstruct_batch(sample))
        self._refill(cells, np.arange(num))
        self._train_at = 4 * num

    def _refill(self, cells: Any, positions: KeyArray) -> None:
        quantizer = self._faiss.ScalarQuantizer
        store = self._faiss.IndexScalarQuantizer(self._dim, quantizer.QT_fp16, self._faiss.METRIC_INNER_PRODUCT)
        refined = self._faiss.IndexRefine(cells, store)
        for block in _blocks(positions):
            refined.add(self.raw.reconstruct_batch(block))
        self._refined, self._flat = refined, FlatEngine(self._dim)
        self._parts = cells, store  # which `refined` only points to


def selector(faiss: Any, allowed: Allowed) -> Any:
    """FAISS' own form of a mask, which it keeps alive."""
    return faiss.IDSelectorBitmap(np.packbits(allowed.mask, bitorder="little"))


def _blocks(positions: KeyArray) -> Iterator[KeyArray]:
    return (positions[start : start + BLOCK_ROWS] for start in range(0, len(positions), BLOCK_ROWS))


def _checked(index: Any, kind: Any, dim: int) -> Any:
    if not isinstance(index, kind) or index.d != dim:
        raise ConflictError(f"the snapshot has {type(index).__name__} of {index.d} dimensions, not {dim}")
    return index
