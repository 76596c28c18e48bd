"""Indexes that follow the log: each vector store's index applies all changes before it answers."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from models.breaker import Breaker
from models.corpus.records import TextChanges, VectorChanges
from models.corpus.views import Shard, Views
from models.filters import Filter
from models.index.base import DenseIndex, LexicalIndex
from models.index.log_followers import (
    MAX_WARM_STORES,
    DenseKey,
    Followers,
    Source,
    Store,
    existing_follower,
    recent_generations,
)
from models.index.snapshots import Snapshots
from models.types.arrays import FloatArray
from models.types.ranking import LexicalRanking, Ranking
from models.types.scope import Scope

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class DenseRequest:
    """A search by `vector` (dim,) float32 in the vector space `generation`."""

    vector: FloatArray
    generation: str
    scope: Scope
    k: int
    where: Filter | None = None


@dataclass(frozen=True)
class LexicalRequest:
    """A search for the words of `query`."""

    query: str
    scope: Scope
    k: int
    where: Filter | None = None


class DenseSearch:
    """Dense search in all vector stores, with one index per store. Not thread-safe."""

    dependencies: Mapping[str, Breaker] = {}

    def __init__(
        self,
        views: Views,
        make_index: Callable[[int], DenseIndex],
        snapshots: Snapshots | None = None,
        shard: Shard | None = None,
    ) -> None:
        """With `shard` None, it indexes all chunks."""
        self._views, self._make_index, self._shard = views, make_index, shard
        self._followers = Followers[DenseKey, VectorChanges, DenseIndex](views, self._source, snapshots)

    def search(self, requests: list[DenseRequest]) -> list[Ranking]:
        """Return one ranking per request. Requests that differ only in their vectors share one search of an index.

        Raises NotFoundError for an unknown store.
        """
        return search_together(
            requests,
            lambda request, vector_store_id: (request.scope.tenant, vector_store_id, request.generation),
            self._indexes,
        )

    def _indexes(self, keys: set[DenseKey]) -> dict[DenseKey, DenseIndex | None]:
        """The up-to-date indexes; None for an empty store."""
        followers = self._followers.up_to_date(keys)
        return {key: existing_follower(followers, key).index or None for key in keys}

    @property
    def num_chunks(self) -> int:
        """Chunks of the indexes in memory."""
        return self._followers.num_chunks

    def maintain(self) -> bool:
        """Do one step of updating the most recently changed stores, also in the generation they build."""
        return self._followers.maintain(recent_generations(self._views))

    def _source(self, key: DenseKey) -> Source[VectorChanges, DenseIndex]:
        tenant, vector_store_id, generation = key
        return Source(
            name=("dense", *key, str(self._shard)),
            read=lambda seq, started_seq: self._views.vector_changes(
                tenant, vector_store_id, seq, generation, shard=self._shard, started_seq=started_seq
            ),
            make=self._make_index,
            dim=lambda changes: changes.vectors.shape[1],
            add=_add_vectors,
        )


class LexicalSearch:
    """Keyword search in all vector stores, with one index per store. Not thread-safe."""

    dependencies: Mapping[str, Breaker] = {}

    def __init__(
        self,
        views: Views,
        make_index: Callable[[], LexicalIndex],
        snapshots: Snapshots | None = None,
        shard: Shard | None = None,
    ) -> None:
        """With `shard` None, it indexes all chunks."""
        self._views, self._make_index, self._shard = views, make_index, shard
        self._followers = Followers[Store, TextChanges, LexicalIndex](views, self._source, snapshots)

    def search(self, requests: list[LexicalRequest]) -> list[LexicalRanking]:
        """Return one ranking per request, with its words' weights in the searched stores. Raises NotFoundError."""
        return [_rank(request, indexes) for request, indexes in zip(requests, self.indexes(requests), strict=True)]

    def indexes(self, requests: Sequence[LexicalRequest]) -> list[list[LexicalIndex | None]]:
        """Return the up-to-date indexes of each request's stores; None for an empty store. Raises NotFoundError."""
        stores = {(request.scope.tenant, name) for request in requests for name in request.scope.vector_store_ids}
        followers = self._followers.up_to_date(stores)
        return [
            [existing_follower(followers, (scope.tenant, name)).index for name in scope.vector_store_ids]
            for scope in (request.scope for request in requests)
        ]

    @property
    def num_chunks(self) -> int:
        """Chunks of the indexes in memory."""
        return self._followers.num_chunks

    def maintain(self) -> bool:
        """Do one step of updating the most recently changed stores."""
        active = self._views.recent(MAX_WARM_STORES)
        return self._followers.maintain({(store.tenant, store.vector_store_id) for store in active})

    def _source(self, key: Store) -> Source[TextChanges, LexicalIndex]:
        return Source(
            name=("lexical", *key, *([str(self._shard)] if self._shard else [])),
            read=lambda seq, started_seq: self._views.text_changes(
                *key, seq, shard=self._shard, started_seq=started_seq
            ),
            make=lambda _: self._make_index(),
            dim=lambda _: 0,
            add=lambda index, changes: index.add(changes.added_keys, changes.added_file_keys, list(changes.texts)),
        )


def _rank(request: LexicalRequest, indexes: Sequence[LexicalIndex | None]) -> LexicalRanking:
    searched = [index for index in indexes if index is not None]
    results = [index.search(request.query, request.k, request.where) for index in searched]
    return merge_lexical(results, request.k)


def merge_lexical(results: Sequence[LexicalRanking], k: int) -> LexicalRanking:
    """Return the best `k` hits of all rankings, and the highest weight of each word."""
    weights: dict[str, float] = {}
    for result in results:
        for word, weight in result.term_weights.items():
            weights[word] = max(weight, weights.get(word, 0.0))
    return LexicalRanking(merge([result.ranking for result in results], k), weights)


def _add_vectors(index: DenseIndex, changes: VectorChanges) -> None:
    # If a generation is retired and built again, its keys come again, and the index may still have them.
    if len(changes.added_keys):
        index.remove(changes.added_keys)
        index.add(changes.added_keys, changes.added_file_keys, changes.vectors)


def search_together(
    requests: Sequence[DenseRequest],
    key_of: Callable[[DenseRequest, str], K],
    indexes_of: Callable[[set[K]], Mapping[K, DenseIndex | None]],
) -> list[Ranking]:
    """Return one ranking per request. Requests that differ only in their vectors share one search of an index.

    `key_of` names the index of a request in one of its stores; `indexes_of` has none for an empty store.
    """
    members: dict[tuple[K, Filter | None], list[int]] = defaultdict(list)
    for position, request in enumerate(requests):
        for vector_store_id in request.scope.vector_store_ids:
            members[key_of(request, vector_store_id), request.where].append(position)
    indexes = indexes_of({key for key, _ in members})
    rankings_of: dict[int, list[Ranking]] = defaultdict(list)
    for (key, where), positions in members.items():
        index = indexes[key]
        if index is None:
            continue
        vectors = np.stack([requests[position].vector for position in positions])
        rankings = index.search(vectors, max(requests[position].k for position in positions), where)
        for position, ranking in zip(positions, rankings, strict=True):
            rankings_of[position].append(ranking)
    return [merge(rankings_of[position], request.k) for position, request in enumerate(requests)]


def merge(rankings: list[Ranking], k: int) -> Ranking:
    """Return the best `k` hits of all rankings by score, and by key where scores are equal, as one index has them.

    Stores and shards have different keys, so no hit repeats.
    """
    if not rankings:
        return Ranking.empty()
    if len(rankings) == 1:
        return Ranking(rankings[0].keys[:k], rankings[0].scores[:k])
    keys = np.concatenate([ranking.keys for ranking in rankings])
    scores = np.concatenate([ranking.scores for ranking in rankings])
    order = np.lexsort((keys, -scores))[:k]
    return Ranking(keys[order], scores[order])
