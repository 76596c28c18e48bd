"""`ragserve bench milvus`: the time of a search in Milvus, including the SQL queries of its searcher."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from models.corpus.corpus import Corpus
from models.corpus.positions import Positions
from models.errors.requests import InvalidRequestError
from models.filters import Comparison, Filter
from models.index.follow import DenseRequest
from models.index.milvus_config import MilvusConfig
from models.index.milvus_search import MilvusDenseSearch
from models.types.chunks import Chunk
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE
from serve.cli.driver.index_workload import GENERATION, SCOPE, random_unit_vectors
from serve.cli.driver.milvus_server import lite_uri, new_prefix, server

CHUNKS_PER_FILE, DIM, K = 100, 384, 50
BATCH = 32
CONSISTENCIES = ("Strong", "Bounded")
LEASE_S = 60.0
URIS: dict[str, Callable[[], str]] = {"server": lambda: server().uri, "lite": lite_uri}


@dataclass(frozen=True)
class Repeats:
    """How often each kind of search is measured."""

    single: int = 30
    batch: int = 10
    changed: int = 8


def run(kind: str, index: str, num_files: int, is_quick: bool, folder: str) -> Iterator[str]:
    """A line a kind of search and consistency. Raises InvalidRequestError for an unknown kind of server."""
    if kind not in URIS:
        raise InvalidRequestError(f"unknown Milvus server {kind!r}; choose from {', '.join(URIS)}", "server")
    corpus = Corpus.open(f"sqlite:///{folder}/corpus.db", folder)
    last_file_id = fill(corpus, num_files)
    options = {"uri": URIS[kind](), "prefix": new_prefix(), "index": index}
    repeats = Repeats(1, 1, 1) if is_quick else Repeats()
    for consistency in CONSISTENCIES:
        config = MilvusConfig.model_validate(options | {"consistency": consistency})
        yield f"{config.index} {config.consistency}"
        yield from measure(corpus, config, last_file_id, repeats)
    corpus.close()


def fill(corpus: Corpus, num_files: int) -> str:
    """The id of the last file."""
    vectors = random_unit_vectors(num_files * CHUNKS_PER_FILE, DIM, seed=1)
    chunks = [Chunk(f"t{number}", number, number + 2, "", 1) for number in range(CHUNKS_PER_FILE)]
    file_id = ""
    for number in range(num_files):
        file_id = corpus.files.add(DEFAULT_TENANT, f"{number}.md", str(number).encode()).file_id
        corpus.store_files.attach(DEFAULT_TENANT, DEFAULT_VECTOR_STORE, file_id, attributes={"year": float(number)})
        (job,) = corpus.jobs.claim("measure", 1, LEASE_S)
        rows = vectors[number * CHUNKS_PER_FILE :][:CHUNKS_PER_FILE]
        corpus.jobs.complete(job, "x" * 200, chunks, {GENERATION: rows})
    return file_id


def measure(corpus: Corpus, config: MilvusConfig, changed_file_id: str, repeats: Repeats) -> Iterator[str]:
    searcher = MilvusDenseSearch(corpus.views, Positions(corpus.database, time.time), config)
    queries, years = random_unit_vectors(BATCH, DIM, seed=2), iter(range(10_000))
    below_50 = Comparison("lt", "year", 50.0)

    def search(num: int, where: Filter | None = None) -> object:
        return searcher.search([DenseRequest(vector, GENERATION, SCOPE, K, where) for vector in queries[:num]])

    def change() -> object:
        year = {"year": float(next(years))}
        corpus.store_files.set_attributes(DEFAULT_TENANT, DEFAULT_VECTOR_STORE, changed_file_id, year)
        return search(1)

    yield _timed("first search, which first follows the log", lambda: search(1), 1)
    yield _timed("one search", lambda: search(1), repeats.single)
    yield _timed(f"{BATCH} searches", lambda: search(BATCH), repeats.batch)
    yield _timed("one search with a filter", lambda: search(1, below_50), repeats.single)
    yield _timed("first search after a file's attributes changed", change, repeats.changed)
    searcher.close()


def _timed(what: str, call: Callable[[], object], repeats: int) -> str:
    times_ms = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times_ms.append((time.perf_counter() - start) * 1000)
    return f"{what}: p50 {statistics.median(times_ms):.1f} ms, most {max(times_ms):.1f} ms, of {repeats}"
