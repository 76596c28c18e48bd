"""The searches, timed over a synthetic corpus of two sizes as their replicas call them: with the log, in batches."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deployments.replica.storage import StorageConfig
from models.corpus.corpus import Corpus
from models.index.faiss_config import FaissConfig
from models.index.faiss_index import FaissIndex
from models.index.follow import DenseRequest, DenseSearch, LexicalRequest, LexicalSearch
from models.index.tantivy_index import TantivyIndex
from models.types import FloatArray
from serve.cli.bench.search.rows import GENERATION, SCOPE, Workload, store
from serve.cli.capacity.fit import fit, fit_growth, timed
from serve.cli.capacity.profile import BatchTimes
from serve.cli.capacity.texts import Texts

QUERIES = (1, 4, 16, 32)  # of a batch
POSTINGS_BYTES = 300.0  # of a chunk in the keyword index, as of 100 words
GROWTH = {"flat": "linear", "hnsw": "log", "ivf_pq": "sqrt"}

Searched = Callable[[int], Any]  # so many queries, at once


@dataclass(frozen=True)
class Stored:
    """A corpus with texts and random vectors, and how many chunks it has."""

    corpus: Corpus
    size: int
    dim: int


def stored(size: int, dim: int, texts: Texts, folder: Path) -> Stored:
    """Vectors at random: what a search costs hardly depends on what is found."""
    corpus = StorageConfig(data_dir=folder).open()
    store(corpus, Workload(_vectors(size, dim), _vectors(1, dim), texts.passages(size), []))
    return Stored(corpus, size, dim)


def measure_dense(index: FaissConfig, few: Stored, many: Stored, k: int, turn_s: float) -> BatchTimes:
    def search_of(one: Stored) -> Searched:
        searcher = DenseSearch(one.corpus.views, lambda dim: FaissIndex(dim, index))
        vectors = _vectors(QUERIES[-1], one.dim, seed=1)
        requests = [DenseRequest(vector, GENERATION, SCOPE, k) for vector in vectors]
        return lambda queries: searcher.search(requests[:queries])

    bytes_per_chunk = {
        "flat": 4 * many.dim,
        "hnsw": 4 * many.dim + 8 * index.hnsw_m,
        "ivf_pq": 2 * many.dim + index.code_size(many.dim) + 8,
    }[index.kind]
    return _times(search_of, few, many, GROWTH[index.kind], turn_s, bytes_per_chunk)


def measure_lexical(few: Stored, many: Stored, texts: Texts, k: int, turn_s: float) -> BatchTimes:
    def search_of(one: Stored) -> Searched:
        searcher = LexicalSearch(one.corpus.views, TantivyIndex)
        requests = [LexicalRequest(question, SCOPE, k) for question in texts.questions(QUERIES[-1])]
        return lambda queries: searcher.search(requests[:queries])

    return _times(search_of, few, many, "linear", turn_s, POSTINGS_BYTES)


def _times(
    search_of: Callable[[Stored], Searched],
    few: Stored,
    many: Stored,
    growth: str,
    turn_s: float,
    bytes_per_chunk: float,
) -> BatchTimes:
    """Fixed cost and cost an item at both sizes: the fixed one of the smaller, where it is not lost in the rest."""
    fitted: list[tuple[float, float]] = []
    for one in (few, many):
        search = search_of(one)
        fitted.append(fit(QUERIES, [timed(partial(search, size), turn_s) for size in QUERIES]))
    (fixed_s, few_item_s), (_, many_item_s) = fitted
    per_item_s, growing = fit_growth(growth, (few.size, few_item_s), (many.size, many_item_s))
    return BatchTimes(
        fixed_s=fixed_s,
        per_item_s=per_item_s,
        max_batch=QUERIES[-1],
        growth=growing,
        bytes_per_chunk=bytes_per_chunk,
    )


def _vectors(count: int, dim: int, seed: int = 0) -> FloatArray:
    vectors = np.random.default_rng(seed).standard_normal((count, dim), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
