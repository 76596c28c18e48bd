"""The kinds of FAISS index. Each numbers its vectors from 0 in the order of insertion, and keeps removed ones."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from models.errors.configuration import ConfigError
from models.errors.requests import ConflictError
from models.index.attributes import BoolArray
from models.index.faiss_config import FaissConfig
from models.types.arrays import FloatArray, KeyArray

BLOCK_ROWS = 65_536  # copied at a time from one index to another
MIN_CANDIDATES = 100  # refined per search, even for a small k
# Training vectors: per cell (FAISS warns below 39), and for the 256 centroids of a PQ code (FAISS uses no more).
CELL_POINTS, CODE_POINTS = 40, 256 * 256


@dataclass(frozen=True)
class Neighbours:
    """Scores and positions (n, depth), best first. Position -1 fills rows with too few neighbours."""

    scores: FloatArray
    positions: KeyArray


@dataclass(frozen=True)
class Allowed:
    """The rows that a search may return: one bool per row, and their number."""

    mask: BoolArray
    num: int

    @property
    def fraction(self) -> float:
        return self.num / len(self.mask)


class Engine(Protocol):
    """One kind of index."""

    @property
    def is_exact(self) -> bool: ...

    @property
    def max_dead(self) -> float:
        """The fraction of dead rows above which the index should be rebuilt."""

    @property
    def index(self) -> Any:
        """The FAISS index to save."""

    @property
    def raw(self) -> Any:
        """A FAISS index of the original vectors, in float32 or float16."""

    def add(self, vectors: FloatArray) -> None: ...

    def keep(self, positions: KeyArray) -> None:
        """Drop all other vectors, and renumber these from 0."""

    def search(self, vectors: FloatArray, depth: int, allowed: Allowed | None) -> Neighbours:
        """Return the nearest allowed rows for each of `vectors` (n, dim). None allows every row."""

    def adopt(self, index: Any) -> None:
        """Replace the index by one read from a file. Raises ConflictError if it is of another kind."""


def make_engine(config: FaissConfig, dim: int) -> Engine:
    """Make the engine of this kind. Raises ConfigError if the code size does not divide `dim`."""
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
        old_index, self.index = self.index, self._faiss.IndexFlatIP(self._dim)
        for block in _blocks(positions):
            self.index.add(old_index.reconstruct_batch(block))

    def search(self, vectors: FloatArray, depth: int, allowed: Allowed | None) -> Neighbours:
        if allowed is None:
            return Neighbours(*self.index.search(vectors, depth))
        parameters = self._faiss.SearchParameters(sel=selector(self._faiss, allowed))
        return Neighbours(*self.index.search(vectors, depth, params=parameters))

    def adopt(self, index: Any) -> None:
        self.index = _checked(index, self._faiss.IndexFlat, self._dim)


class HnswEngine:
    """A graph of neighbours. Dead rows stay in the graph as links between others.

    A filter that excludes the whole neighbourhood of a query costs recall, if it matches more than `exact_below` rows.
    """

    # A rebuild takes 0.1 ms per vector, while dead rows cost a search little.
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
        old_index, self.index = self.index, self._empty()
        for block in _blocks(positions):
            self.index.add(old_index.reconstruct_batch(block))

    def search(self, vectors: FloatArray, depth: int, allowed: Allowed | None) -> Neighbours:
        ef = max(self._config.hnsw_ef_search, depth)
        if allowed is None:
            parameters = self._faiss.SearchParametersHNSW(efSearch=ef)
        else:
            # Rows that are not allowed count as candidates too, so there must be more candidates.
            wider_ef = math.ceil(ef / allowed.fraction)
            parameters = self._faiss.SearchParametersHNSW(efSearch=wider_ef, sel=selector(self._faiss, allowed))
        return Neighbours(*self.index.search(vectors, depth, params=parameters))

    def adopt(self, index: Any) -> None:
        self.index = _checked(index, self._faiss.IndexHNSWFlat, self._dim)

    def _empty(self) -> Any:
        index = self._faiss.IndexHNSWFlat(self._dim, self._config.hnsw_m, self._faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = self._config.hnsw_ef_construction
        return index


class IvfPqEngine:
    """Cells of quantized vectors. The best candidates are compared again by their float16 vectors.

    The index is flat until there are enough vectors to train with. Training is repeated whenever their number has grown
    fourfold. Measured with 100k x 384: codes of a quarter of the dimensions alone have a recall@10 of 0.63, refined
    1.00. float16 has the same results as float32 with half the memory.
    """

    max_dead = 0.25

    def __init__(self, config: FaissConfig, dim: int) -> None:
        import faiss

        if dim % config.code_size(dim):
            raise ConfigError("index.pq_m", f"it is {config.pq_m}; it must divide the {dim} dimensions of the vectors")
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
            # Clone the trained, empty cells: the original is freed together with the index that contains it.
            self._refill(self._faiss.clone_index(cells), positions)

    def search(self, vectors: FloatArray, depth: int, allowed: Allowed | None) -> Neighbours:
        if self._refined is None:
            return self._flat.search(vectors, depth, allowed)
        cells = {"nprobe": self._config.ivf_nprobe}
        if allowed is not None:
            cells["nprobe"] = math.ceil(cells["nprobe"] / allowed.fraction)
            cells["sel"] = selector(self._faiss, allowed)
        factor = max(self._config.refine_factor, math.ceil(MIN_CANDIDATES / depth))
        parameters = self._faiss.IndexRefineSearchParameters(
            k_factor=factor, base_index_params=self._faiss.SearchParametersIVF(**cells)
        )
        return Neighbours(*self._refined.search(vectors, depth, params=parameters))

    def adopt(self, index: Any) -> None:
        if isinstance(index, self._faiss.IndexFlat):
            self._flat.adopt(index)
        else:
            self._refined = _checked(index, self._faiss.IndexRefine, self._dim)
            self._train_at = max(self._config.train_at, 4 * index.ntotal)

    def _train(self) -> None:
        num = self.raw.ntotal
        num_cells = self._config.num_cells(num)
        codes = self._config.code_size(self._dim)
        quantizer = self._faiss.IndexFlatIP(self._dim)
        cells = self._faiss.IndexIVFPQ(quantizer, self._dim, num_cells, codes, 8, self._faiss.METRIC_INNER_PRODUCT)
        # Otherwise FAISS prints a warning if `train_at` or `ivf_nlist` leads to fewer points.
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
        self._owned = cells, store  # keep them alive: `refined` only points to them


def selector(faiss: Any, allowed: Allowed) -> Any:
    """Convert the mask to FAISS' selector, which keeps its own copy alive."""
    return faiss.IDSelectorBitmap(np.packbits(allowed.mask, bitorder="little"))


def _blocks(positions: KeyArray) -> Iterator[KeyArray]:
    return (positions[start : start + BLOCK_ROWS] for start in range(0, len(positions), BLOCK_ROWS))


def _checked(index: Any, kind: Any, dim: int) -> Any:
    if not isinstance(index, kind) or index.d != dim:
        raise ConflictError(
            f"the snapshot has a {type(index).__name__} of {index.d} dimensions; it needs {kind.__name__} of {dim}"
        )
    return index
