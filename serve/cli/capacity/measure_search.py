"""Time both searches over synthetic corpora of two sizes, in batches and with the change log, as replicas call them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from deployments.replica.storage import StorageConfig
from models.corpus.corpus import Corpus
from models.index.faiss_config import FaissConfig
from models.index.faiss_index import FaissIndex
from models.index.follow import DenseRequest, DenseSearch, LexicalRequest, LexicalSearch
from models.index.tantivy_index import TantivyIndex
from serve.cli.capacity.fit import fit, fit_growth, timed
from serve.cli.capacity.profile import BatchTimes
from serve.cli.capacity.texts import Texts
from serve.cli.driver.index_workload import GENERATION, SCOPE, random_unit_vectors, store_chunks

QUERIES = (1, 4, 16, 32)  # per batch
TOKEN_BYTES_PER_DIM = 31.0  # stored token vectors per chunk of about 120 tokens: pooled by two, in 4 bits
POSTINGS_BYTES = 300.0  # per chunk of about 100 words in the keyword index
GROWTH = {"flat": "linear", "hnsw": "log", "ivf_pq": "sqrt"}

Search = Callable[[int], Any]  # gets the number of queries of the batch


@dataclass(frozen=True)
class StoredCorpus:
    """A corpus of `size` chunks with texts and random vectors."""

    corpus: Corpus
    size: int
    dim: int


def store_corpus(size: int, dim: int, texts: Texts, folder: Path) -> StoredCorpus:
    """Random vectors will do: the time of a search hardly depends on its hits."""
    corpus = StorageConfig(data_dir=folder).open()
    store_chunks(corpus, texts.passages(size), random_unit_vectors(size, dim))
    return StoredCorpus(corpus, size, dim)


def measure_dense(index: FaissConfig, small: StoredCorpus, large: StoredCorpus, k: int, turn_s: float) -> BatchTimes:
    def search_of(stored: StoredCorpus) -> Search:
        searcher = DenseSearch(stored.corpus.views, lambda dim: FaissIndex(dim, index))
        vectors = random_unit_vectors(QUERIES[-1], stored.dim, seed=1)
        requests = [DenseRequest(vector, GENERATION, SCOPE, k) for vector in vectors]
        return lambda num_queries: searcher.search(requests[:num_queries])

    bytes_per_chunk = {
        "flat": 4 * large.dim,
        "hnsw": 4 * large.dim + 8 * index.hnsw_m,
        "ivf_pq": 2 * large.dim + index.code_size(large.dim) + 8,
    }[index.kind]
    times = _times(search_of, small, large, GROWTH[index.kind], turn_s, bytes_per_chunk)
    return times.model_copy(update={"mapped_bytes_per_chunk": TOKEN_BYTES_PER_DIM * large.dim})


def measure_lexical(small: StoredCorpus, large: StoredCorpus, texts: Texts, k: int, turn_s: float) -> BatchTimes:
    def search_of(stored: StoredCorpus) -> Search:
        searcher = LexicalSearch(stored.corpus.views, TantivyIndex)
        requests = [LexicalRequest(question, SCOPE, k) for question in texts.questions(QUERIES[-1])]
        return lambda num_queries: searcher.search(requests[:num_queries])

    return _times(search_of, small, large, "linear", turn_s, POSTINGS_BYTES)


def _times(
    search_of: Callable[[StoredCorpus], Search],
    small: StoredCorpus,
    large: StoredCorpus,
    growth: str,
    turn_s: float,
    bytes_per_chunk: float,
) -> BatchTimes:
    """Fit both sizes. The fixed time comes from the smaller corpus, where it is the larger fraction."""
    fitted: list[tuple[float, float]] = []
    for stored in (small, large):
        search = search_of(stored)
        fitted.append(fit(QUERIES, [timed(partial(search, size), turn_s) for size in QUERIES]))
    (fixed_s, small_item_s), (_, large_item_s) = fitted
    per_item_s, growing = fit_growth(growth, (small.size, small_item_s), (large.size, large_item_s))
    return BatchTimes(
        fixed_s=fixed_s,
        per_item_s=per_item_s,
        max_batch=QUERIES[-1],
        growth=growing,
        bytes_per_chunk=bytes_per_chunk,
    )
