"""What a search in Milvus costs: `PYTHONPATH=. python serve/cli/bench/milvus/run.py server|lite [FLAT|HNSW]`."""

import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

from models.corpus.corpus import Corpus
from models.corpus.positions import Positions
from models.filters import Comparison, Filter
from models.index.follow import DenseRequest
from models.index.milvus_config import MilvusConfig
from models.index.milvus_search import MilvusDenseSearch
from models.types import Chunk, FloatArray, Scope
from serve.cli.driver.milvus_server import lite_uri, new_prefix, server

NUM_FILES, CHUNKS_PER_FILE, DIM, K = 100, 100, 384, 50
TENANT = STORE = "default"
GENERATION = "measured@1"


def unit_vectors(num: int, seed: int) -> FloatArray:
    vectors = np.random.default_rng(seed).standard_normal((num, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def fill(corpus: Corpus) -> str:
    """The last file's id."""
    vectors = unit_vectors(NUM_FILES * CHUNKS_PER_FILE, seed=1)
    chunks = [Chunk(f"t{number}", number, number + 2, "", 1) for number in range(CHUNKS_PER_FILE)]
    for number in range(NUM_FILES):
        file_id = corpus.files.add(TENANT, f"{number}.md", str(number).encode()).file_id
        corpus.store_files.attach(TENANT, STORE, file_id, attributes={"year": float(number)})
        (job,) = corpus.jobs.claim("measure", 1, 60)
        rows = vectors[number * CHUNKS_PER_FILE :][:CHUNKS_PER_FILE]
        corpus.jobs.complete(job, "x" * 200, chunks, {GENERATION: rows})
    return file_id


def tell(what: str, act: Callable[[], object], times: int = 1) -> None:
    durations_ms = []
    for _ in range(times):
        started = time.perf_counter()
        act()
        durations_ms.append((time.perf_counter() - started) * 1000)
    print(f"{what}: p50 {statistics.median(durations_ms):.1f} ms, most {max(durations_ms):.1f} ms, of {times}")  # noqa: T201


def measure(corpus: Corpus, config: MilvusConfig, changed_file: str) -> None:
    search = MilvusDenseSearch(corpus.views, Positions(corpus.database, time.time), config)
    queries, year = unit_vectors(32, seed=2), iter(range(10_000))

    def ask(num: int, where: Filter | None = None) -> object:
        scope = Scope(TENANT, (STORE,))
        return search.search([DenseRequest(vector, GENERATION, scope, K, where) for vector in queries[:num]])

    def change() -> object:
        corpus.store_files.set_attributes(TENANT, STORE, changed_file, {"year": float(next(year))})
        return ask(1)

    print(config.index, config.consistency)  # noqa: T201
    tell("first search, with what was behind", lambda: ask(1))
    tell("one search", lambda: ask(1), 30)
    tell("32 searches", lambda: ask(32), 10)
    tell("one search with a filter", lambda: ask(1, Comparison("lt", "year", 50.0)), 30)
    tell("first search after a file's attributes changed", change, 8)
    search.close()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    where, kind = sys.argv[1], (*sys.argv[2:], "FLAT")[0]
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus.open(f"sqlite:///{folder}/corpus.db", folder)
        last_file = fill(corpus)
        options = {"uri": server().uri if where == "server" else lite_uri(), "prefix": new_prefix(), "index": kind}
        for consistency in ("Strong", "Bounded"):
            measure(corpus, MilvusConfig.model_validate(options | {"consistency": consistency}), last_file)
