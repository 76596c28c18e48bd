"""`ragserve bench search`: the served searchers against the raw libraries, on the same data, in one run.

Raw is the library called in this process, in its best batch; served is a replica that follows the log of a real
corpus, called through its Serve handle with batches of the same size, two under way at a time so that the hop is not
waited for. Both have one thread. Raw and served take turns, and the median of the turns counts.
"""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.corpus.corpus import Corpus
from models.types import DEFAULT_TENANT, DEFAULT_VECTOR_STORE, Chunk, FloatArray, Ranking, Scope

GENERATION = "synthetic@1"
SCOPE = Scope(DEFAULT_TENANT, (DEFAULT_VECTOR_STORE,))
K = 10
NUM_QUERIES = 1_024
CHUNKS_PER_FILE = 5_000
NUM_WORDS = 50_000  # vocabulary, drawn by Zipf's law
WORDS_PER_TEXT, WORDS_PER_QUERY = 40, 6
NUM_SINGLES = 300
IN_FLIGHT = 2
ENOUGH = 0.8  # of the raw library's throughput


@dataclass(frozen=True)
class Workload:
    """What is indexed and asked: vectors (n, dim) and queries (q, dim) on the unit sphere, texts and their queries."""

    vectors: FloatArray
    queries: FloatArray
    texts: list[str]
    text_queries: list[str]

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True)
class Turn:
    """Queries a second in batches; the 50th and 99th percentile of single queries, in seconds."""

    per_s: float
    p50_s: float
    p99_s: float


@dataclass(frozen=True)
class Row:
    """One index at one size. `raw_recall` and `served_recall` are at 10 against the exact search; None for words."""

    index: str
    num_chunks: int
    raw: Turn
    served: Turn
    raw_recall: float | None
    served_recall: float | None

    @property
    def ratio(self) -> float:
        return self.served.per_s / self.raw.per_s


@dataclass(frozen=True)
class Plan:
    """What to measure, and how long each turn lasts."""

    sizes: tuple[int, ...]
    indexes: tuple[str, ...]
    dim: int
    batch_size: int
    turn_s: float
    num_turns: int
    milvus_uri: str | None = None


def make_workload(num_chunks: int, dim: int, seed: int = 0) -> Workload:
    """Vectors in clusters, as embeddings are, and texts of words by Zipf's law."""
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((max(8, num_chunks // 500), dim), np.float32)
    vectors = _near(centres, num_chunks, chance)
    words = np.array([f"w{number:x}" for number in range(NUM_WORDS)])
    shares = 1 / np.arange(1, NUM_WORDS + 1)
    drawn = chance.choice(NUM_WORDS, (num_chunks, WORDS_PER_TEXT), p=shares / shares.sum())
    asked = chance.choice(NUM_WORDS, (NUM_QUERIES, WORDS_PER_QUERY), p=shares / shares.sum())
    return Workload(
        vectors,
        _near(centres, NUM_QUERIES, chance),
        [" ".join(words[row]) for row in drawn],
        [" ".join(words[row]) for row in asked],
    )


def _near(centres: FloatArray, count: int, chance: np.random.Generator) -> FloatArray:
    picked = centres[chance.integers(len(centres), size=count)]
    vectors = picked + 0.7 * chance.standard_normal(picked.shape, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def store(corpus: Corpus, workload: Workload) -> None:
    """Puts the workload into the default store as if it had been ingested; chunk i gets key i + 1."""
    for start in range(0, len(workload), CHUNKS_PER_FILE):
        part = slice(start, min(len(workload), start + CHUNKS_PER_FILE))
        file = corpus.files.add(DEFAULT_TENANT, f"{start}.txt", str(start).encode())
        corpus.store_files.attach(DEFAULT_TENANT, DEFAULT_VECTOR_STORE, file.file_id)
        (job,) = corpus.jobs.claim("bench", 1, 600)
        chunks = [Chunk(text, place, place + 1, "", WORDS_PER_TEXT) for place, text in enumerate(workload.texts[part])]
        corpus.jobs.complete(job, "", chunks, {GENERATION: workload.vectors[part]})


Search = Callable[[Any], list[Ranking]]  # a batch of queries in, their rankings out


def compare(raw: Search, served: Search, queries: Any, plan: Plan) -> tuple[Turn, Turn]:
    """Turns of each, one after the other, and the median of them."""
    turns: dict[str, list[Turn]] = {"raw": [], "served": []}
    for _ in range(plan.num_turns):
        turns["raw"].append(_turn(raw, queries, plan, in_flight=1))
        turns["served"].append(_turn(served, queries, plan, in_flight=IN_FLIGHT))
    raw_turn, served_turn = (_median(turns[name]) for name in ("raw", "served"))
    return raw_turn, served_turn


def _turn(search: Search, queries: Any, plan: Plan, in_flight: int) -> Turn:
    batches = [queries[start : start + plan.batch_size] for start in range(0, len(queries), plan.batch_size)]
    search(batches[0])
    start, num_done = time.perf_counter(), 0
    with ThreadPoolExecutor(in_flight) as pool:
        while time.perf_counter() - start < plan.turn_s:
            num_done += sum(len(found) for found in pool.map(search, batches[: 2 * in_flight]))
            batches = batches[2 * in_flight :] + batches[: 2 * in_flight]
    per_s = num_done / (time.perf_counter() - start)
    singles = sorted(_seconds(search, queries[place : place + 1]) for place in range(NUM_SINGLES))
    return Turn(per_s, singles[NUM_SINGLES // 2], singles[int(NUM_SINGLES * 0.99)])


def _seconds(search: Search, queries: Any) -> float:
    start = time.perf_counter()
    search(queries)
    return time.perf_counter() - start


def _median(turns: list[Turn]) -> Turn:
    return Turn(*(statistics.median(getattr(turn, name) for turn in turns) for name in ("per_s", "p50_s", "p99_s")))


def recall(found: list[Ranking], exact: list[Ranking]) -> float:
    """Share of the exact best 10 that were found."""
    pairs = zip(found, exact, strict=True)
    num_found = sum(len(set(one.keys[:K].tolist()) & set(best.keys[:K].tolist())) for one, best in pairs)
    return num_found / sum(len(best.keys[:K]) for best in exact)


HEAD = (
    "| index | chunks | raw q/s | served q/s | ratio | raw p50/p99 ms | served p50/p99 ms | recall raw/served |\n"
    "|---|---|---|---|---|---|---|---|"
)


def table_row(row: Row) -> str:
    """A line of Markdown under HEAD. Where the ratio is too low it says so."""
    short = "" if row.ratio >= ENOUGH else " (short)"
    recalls = "" if row.raw_recall is None else f"{row.raw_recall:.3f} / {row.served_recall:.3f}"
    return (
        f"| {row.index} | {row.num_chunks:,} | {row.raw.per_s:,.0f} | {row.served.per_s:,.0f} "
        f"| {row.ratio:.2f}{short} | {_ms(row.raw)} | {_ms(row.served)} | {recalls} |"
    )


def _ms(turn: Turn) -> str:
    return f"{turn.p50_s * 1000:.2f} / {turn.p99_s * 1000:.2f}"
