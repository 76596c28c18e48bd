"""Keyword search in shards whose scores are comparable: each shard scores with the counts of all shards together.

A search takes two rounds, as Elasticsearch's dfs_query_then_fetch does. In the first round each shard counts the
chunks with each word of the query; in the second each shard ranks its chunks with the sums.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from models.breaker import Breaker
from models.corpus.views import Shard, Views
from models.index.base import ShardIndex
from models.index.bm25 import NO_COUNTS, WordCounts, total
from models.index.follow import LexicalRequest, LexicalSearch, merge_lexical
from models.index.snapshots import Snapshots
from models.types.ranking import LexicalRanking, Ranking

NO_HITS = LexicalRanking(Ranking.empty(), {})


@dataclass(frozen=True)
class ShardRequest:
    """A keyword search. `counts`: of all shards, for each vector store in scope. Without them a shard only counts."""

    request: LexicalRequest
    counts: tuple[WordCounts, ...] = ()


@dataclass(frozen=True)
class ShardAnswer:
    """A shard's own counts for each vector store in scope, or its hits."""

    counts: tuple[WordCounts, ...] = ()
    result: LexicalRanking = NO_HITS


def total_counts(answers: Sequence[ShardAnswer]) -> tuple[WordCounts, ...]:
    """The counts of all shards together, for each vector store."""
    return tuple(total(of_store) for of_store in zip(*(answer.counts for answer in answers), strict=True))


def merge_answers(answers: Sequence[ShardAnswer], k: int) -> LexicalRanking:
    """The best `k` hits of all shards, and the weight of each word."""
    return merge_lexical([answer.result for answer in answers], k)


class LexicalShardSearch:
    """The keyword search of one shard, in all vector stores. Not thread-safe."""

    dependencies: Mapping[str, Breaker] = {}

    def __init__(
        self, views: Views, make_index: Callable[[], ShardIndex], shard: Shard, snapshots: Snapshots | None = None
    ) -> None:
        self._stores = LexicalSearch(views, make_index, snapshots, shard)

    def search(self, requests: list[ShardRequest]) -> list[ShardAnswer]:
        """Return one answer per request. Raises NotFoundError for an unknown store."""
        # ShardIndexes, because `make_index` makes them.
        by_request = cast(
            list[list[ShardIndex | None]], self._stores.indexes([request.request for request in requests])
        )
        return [_answer(request, indexes) for request, indexes in zip(requests, by_request, strict=True)]

    @property
    def num_chunks(self) -> int:
        """Chunks of the indexes in memory."""
        return self._stores.num_chunks

    def maintain(self) -> bool:
        """Do one step of updating the most recently changed stores."""
        return self._stores.maintain()


def _answer(request: ShardRequest, indexes: Sequence[ShardIndex | None]) -> ShardAnswer:
    query = request.request
    if not request.counts:
        counts = tuple(NO_COUNTS if index is None else index.count(query.query) for index in indexes)
        return ShardAnswer(counts=counts)
    pairs = zip(indexes, request.counts, strict=True)
    results = [
        index.search_with(counts, query.query, query.k, query.where) for index, counts in pairs if index is not None
    ]
    return ShardAnswer(result=merge_lexical(results, query.k))
