"""`ragserve bench search --tokens`: scoring candidates by their stored token vectors, and how a view of them is made.

One process, one thread, without Ray. A question is 30 random chunks of the corpus. Cold: the kernel has dropped the
view's files, and no two questions share a chunk. Warm: the same questions again. Codec alone: over as many chunks in
the process's own memory. Start: a new process's first answer, from a snapshot.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from models.corpus.corpus import Corpus
from models.index.token_codec import encode_tokens, max_sim_scores
from models.index.token_search import TokenScoreRequest, TokenSearch
from models.types.arrays import FloatArray, HalfArray
from serve.cli.driver.index_workload import GENERATION, SCOPE, random_unit_vectors, store_chunks

CANDIDATES = 30
NUM_QUESTIONS = 200
CHUNK_TOKENS, QUERY_TOKENS = 170, 16
NUM_CODES = 200  # distinct ones, used in turn


@dataclass(frozen=True)
class TokenRow:
    """The view of one corpus. Times of a question in seconds: (median, 99th percentile). Rates in chunks a second."""

    num_chunks: int
    chunk_bytes: float
    stored_per_s: float
    rebuilt_per_s: float
    start_s: float
    cold_s: tuple[float, float]
    warm_s: tuple[float, float]
    alone_s: tuple[float, float]
    memory_bytes: float

    def line(self) -> str:
        times = " | ".join(_ms(pair) for pair in (self.cold_s, self.warm_s, self.alone_s))
        return (
            f"| {self.num_chunks:,} | {self.chunk_bytes / 1e3:.1f} | {self.stored_per_s:,.0f} "
            f"| {self.rebuilt_per_s:,.0f} | {self.start_s * 1e3:.0f} | {times} | {self.memory_bytes / 1e6:.0f} |"
        )


HEAD = (
    "| chunks | kB a chunk | stored a second | rebuilt a second | start ms | cold p50/p99 ms | warm p50/p99 ms "
    "| codec alone p50/p99 ms | memory MB |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def run(sizes: Sequence[int], dim: int, folder: Path, report: Callable[[str], None]) -> Iterator[TokenRow]:
    """A row for each number of chunks, as soon as it is measured. The data is in `folder`."""
    codes = _codes(dim)
    for size in sizes:
        report(f"{size:,} chunks: storing")
        corpus = Corpus.open(f"sqlite:///{folder / str(size)}.db", folder / "files")
        stored_s = _store(corpus, size, codes)
        report(f"{size:,} chunks: rebuilding and scoring")
        yield _measure(corpus, size, _requests(size, dim), codes[:CANDIDATES], folder / f"{size} tokens", stored_s)
        corpus.close()


def _codes(dim: int) -> list[bytes]:
    tokens = random_unit_vectors(NUM_CODES * CHUNK_TOKENS, dim).astype(np.float16)
    return [encode_tokens(chunk) for chunk in tokens.reshape(NUM_CODES, CHUNK_TOKENS, dim)]


def _store(corpus: Corpus, size: int, codes: list[bytes]) -> float:
    """Store the chunks. Return the seconds."""
    vectors = random_unit_vectors(size, 8)  # not searched here
    of_chunks = [codes[number % NUM_CODES] for number in range(size)]
    return _seconds(lambda: store_chunks(corpus, ["word"] * size, vectors, of_chunks))


def _measure(
    corpus: Corpus,
    size: int,
    requests: list[TokenScoreRequest],
    codes: list[bytes],
    folder: Path,
    stored_s: float,
) -> TokenRow:
    rebuilt_s = _seconds(lambda: _rebuild(corpus, folder))
    gc.collect()  # the view that wrote the snapshot deletes its own files
    files = list(folder.glob("*/*/*.tokens"))
    _drop_from_cache(files)
    memory_before = _memory_bytes()
    search = TokenSearch(corpus.views, folder)
    start_s = _seconds(lambda: search.score(requests[:1]))
    cold_s, warm_s = (_percentiles(lambda request: search.score([request]), requests[1:]) for _ in ("cold", "warm"))
    memory_bytes = _memory_bytes() - memory_before
    alone_s = _percentiles(lambda request: max_sim_scores(request.query, request.weights, codes), requests[1:])
    return TokenRow(
        num_chunks=size,
        chunk_bytes=sum(file.stat().st_size for file in files) / size,
        stored_per_s=size / stored_s,
        rebuilt_per_s=size / rebuilt_s,
        start_s=start_s,
        cold_s=cold_s,
        warm_s=warm_s,
        alone_s=alone_s,
        memory_bytes=memory_bytes,
    )


def _requests(size: int, dim: int) -> list[TokenScoreRequest]:
    """Make questions whose chunks do not repeat, as far as there are enough chunks."""
    generator = np.random.default_rng(0)
    query: HalfArray = random_unit_vectors(QUERY_TOKENS, dim, seed=1).astype(np.float16)
    weights: FloatArray = np.ones(QUERY_TOKENS, np.float32)
    keys = np.resize(generator.permutation(size) + 1, (NUM_QUESTIONS, CANDIDATES))
    return [TokenScoreRequest(query, weights, row, GENERATION, SCOPE) for row in keys]


def _rebuild(corpus: Corpus, folder: Path) -> None:
    """Read the whole log, and save a snapshot."""
    search = TokenSearch(corpus.views, folder)
    while search.maintain():
        pass


def _drop_from_cache(files: Sequence[Path]) -> None:
    """Make the kernel forget the files. It keeps pages that are not written yet, and those of a mapped file."""
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _percentiles(
    score: Callable[[TokenScoreRequest], object], requests: Sequence[TokenScoreRequest]
) -> tuple[float, float]:
    """Return the median and the 99th percentile of the seconds of a question."""
    times = [_seconds(partial(score, request)) for request in requests]
    return float(np.median(times)), float(np.percentile(times, 99))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _memory_bytes() -> int:
    """Return the process's memory without mapped files, which the kernel can drop."""
    memory = psutil.Process().memory_info()
    return memory.rss - memory.shared


def _ms(seconds: tuple[float, float]) -> str:
    return " / ".join(f"{value * 1e3:.1f}" for value in seconds)
