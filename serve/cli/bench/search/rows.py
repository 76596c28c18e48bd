"""`ragserve bench search`: the served searchers against the raw libraries, on the same data, in one run.

Raw is the library called in this process, in its best batch. Served is a replica that follows the log of a real corpus,
called through its Serve handle with batches of the same size, two in flight so that the hop costs no waiting. Both have
one thread. Raw and served take turns, and the median of the turns counts.
"""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from models.types.ranking import Ranking

K = 10
NUM_SINGLES = 300
IN_FLIGHT = 2
MIN_RATIO = 0.8  # of the raw library's throughput


@dataclass(frozen=True)
class Turn:
    """Queries a second in batches; the 50th and 99th percentile of single queries, in seconds."""

    per_s: float
    p50_s: float
    p99_s: float


@dataclass(frozen=True)
class Row:
    """One index at one size. `raw_recall` and `served_recall` are at 10 against the exact search; None for keywords."""

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
class SearchPlan:
    """The indexes to measure, and the length of each turn."""

    sizes: tuple[int, ...]
    indexes: tuple[str, ...]
    dim: int
    batch_size: int
    turn_s: float
    num_turns: int
    milvus_uri: str | None = None

    def as_quick(self) -> "SearchPlan":
        """The same indexes, over 500 short vectors."""
        return replace(self, sizes=(500,), dim=32, turn_s=0.2, num_turns=1)


Search = Callable[[Any], list[Ranking]]  # a batch of queries in, their rankings out


def compare(raw: Search, served: Search, queries: Any, plan: SearchPlan) -> tuple[Turn, Turn]:
    """The median turns of raw and served, which are measured one after the other."""
    turns: dict[str, list[Turn]] = {"raw": [], "served": []}
    for _ in range(plan.num_turns):
        turns["raw"].append(_turn(raw, queries, plan, in_flight=1))
        turns["served"].append(_turn(served, queries, plan, in_flight=IN_FLIGHT))
    raw_turn, served_turn = (_median(turns[name]) for name in ("raw", "served"))
    return raw_turn, served_turn


def _turn(search: Search, queries: Any, plan: SearchPlan, in_flight: int) -> Turn:
    batches = [queries[start : start + plan.batch_size] for start in range(0, len(queries), plan.batch_size)]
    search(batches[0])
    start, num_done = time.perf_counter(), 0
    with ThreadPoolExecutor(in_flight) as pool:
        while time.perf_counter() - start < plan.turn_s:
            num_done += sum(len(rankings) for rankings in pool.map(search, batches[: 2 * in_flight]))
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


def recall(rankings: list[Ranking], exact: list[Ranking]) -> float:
    """Fraction of the exact best 10 that the rankings have."""
    pairs = zip(rankings, exact, strict=True)
    num_hits = sum(len(set(ranking.keys[:K].tolist()) & set(best.keys[:K].tolist())) for ranking, best in pairs)
    return num_hits / sum(len(best.keys[:K]) for best in exact)


HEAD = (
    "| index | chunks | raw q/s | served q/s | ratio | raw p50/p99 ms | served p50/p99 ms | recall raw/served |\n"
    "|---|---|---|---|---|---|---|---|"
)


def table_row(row: Row) -> str:
    """A line of Markdown under HEAD; it marks a ratio below MIN_RATIO."""
    short = "" if row.ratio >= MIN_RATIO else " (short)"
    recalls = "" if row.raw_recall is None else f"{row.raw_recall:.3f} / {row.served_recall:.3f}"
    return (
        f"| {row.index} | {row.num_chunks:,} | {row.raw.per_s:,.0f} | {row.served.per_s:,.0f} "
        f"| {row.ratio:.2f}{short} | {_ms(row.raw)} | {_ms(row.served)} | {recalls} |"
    )


def _ms(turn: Turn) -> str:
    return f"{turn.p50_s * 1000:.2f} / {turn.p99_s * 1000:.2f}"
