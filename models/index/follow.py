"""Indexes that follow the log: each vector store's index catches up with what is stored before it answers."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from models.corpus.views import Views
from models.errors import ConflictError, NotFoundError
from models.index.base import DenseIndex, LexicalIndex
from models.types import FloatArray, LexicalRanking, Ranking, Scope

Store = tuple[str, str]  # (tenant, vector_store_id)


@dataclass(frozen=True)
class DenseRequest:
    """One search: `vector` (dim,) float32 of the vector space `generation`."""

    vector: FloatArray
    generation: str
    scope: Scope
    k: int


@dataclass(frozen=True)
class LexicalRequest:
    """One search for the words of `query`."""

    query: str
    scope: Scope
    k: int


class _DenseFollower:
    def __init__(self, views: Views, store: Store, generation: str, make_index: Callable[[int], DenseIndex]) -> None:
        self._views, self._store, self._generation, self._make_index = views, store, generation, make_index
        self.clear()

    def clear(self) -> None:
        self.seq = 0
        self.index: DenseIndex | None = None

    def advance(self) -> None:
        """One page of changes: removals, then additions."""
        changes = self._views.vector_changes(*self._store, self.seq, self._generation)
        if self.index is None and len(changes.added_keys):
            self.index = self._make_index(changes.vectors.shape[1])
        if self.index is not None:
            self.index.remove(changes.removed_keys)
            self.index.add(changes.added_keys, changes.vectors)
        self.seq = changes.up_to_seq


class _LexicalFollower:
    def __init__(self, views: Views, store: Store, make_index: Callable[[], LexicalIndex]) -> None:
        self._views, self._store, self._make_index = views, store, make_index
        self.clear()

    def clear(self) -> None:
        self.seq = 0
        self.index = self._make_index()

    def advance(self) -> None:
        """One page of changes: removals, then additions."""
        changes = self._views.text_changes(*self._store, self.seq)
        self.index.remove(changes.removed_keys)
        self.index.add(changes.added_keys, list(changes.texts))
        self.seq = changes.up_to_seq


F = TypeVar("F", _DenseFollower, _LexicalFollower)
K = TypeVar("K")


def catch_up(follower: F, head_seq: int) -> None:
    """Brings the index level with `head_seq`. A log that is behind the index was restored: start again from 0."""
    if follower.seq > head_seq:
        follower.clear()
    while follower.seq < head_seq:
        try:
            follower.advance()
        except ConflictError:
            follower.clear()


class _Followers(Generic[K, F]):
    """The followers of every store that was ever searched here, by key; a deleted store's is let go."""

    def __init__(self, views: Views, make: Callable[[K], F]) -> None:
        self._views = views
        self._make: Callable[[K], F] = make
        self._by_key: dict[K, F] = {}

    def level(self, stores: dict[K, Store]) -> dict[K, F]:
        """Followers level with the log, of those `stores` that exist. One cheap query for all of them."""
        heads = self._views.heads(set(stores.values()))
        for key in [key for key, store in stores.items() if store not in heads]:
            self._by_key.pop(key, None)
        alive = {key: store for key, store in stores.items() if store in heads}
        for key, store in alive.items():
            follower = self._by_key.setdefault(key, self._make(key))
            catch_up(follower, heads[store])
        return {key: self._by_key[key] for key in alive}


DenseKey = tuple[str, str, str]  # (tenant, vector_store_id, generation)


class DenseSearch:
    """Dense search over every vector store, an index each. One caller at a time."""

    def __init__(self, views: Views, make_index: Callable[[int], DenseIndex]) -> None:
        self._followers = _Followers[DenseKey, _DenseFollower](
            views, lambda key: _DenseFollower(views, key[:2], key[2], make_index)
        )

    def search(self, requests: list[DenseRequest]) -> list[Ranking]:
        """A ranking a request. Requests for the same store and generation share one search of its index."""
        members: dict[DenseKey, list[int]] = defaultdict(list)
        for position, request in enumerate(requests):
            for vector_store_id in request.scope.vector_store_ids:
                members[request.scope.tenant, vector_store_id, request.generation].append(position)
        followers = self._followers.level({key: key[:2] for key in members})
        found: dict[int, list[Ranking]] = defaultdict(list)
        for key, positions in members.items():
            index = _existing(followers, key).index
            if index is None or not len(index):
                continue
            vectors = np.stack([requests[position].vector for position in positions])
            rankings = index.search(vectors, max(requests[position].k for position in positions))
            for position, ranking in zip(positions, rankings, strict=True):
                found[position].append(ranking)
        return [merge(found[position], request.k) for position, request in enumerate(requests)]


class LexicalSearch:
    """Keyword search over every vector store, an index each. One caller at a time."""

    def __init__(self, views: Views, make_index: Callable[[], LexicalIndex]) -> None:
        self._followers = _Followers[Store, _LexicalFollower](
            views, lambda store: _LexicalFollower(views, store, make_index)
        )

    def search(self, requests: list[LexicalRequest]) -> list[LexicalRanking]:
        """A ranking a request, with its words' weights in the stores searched."""
        stores = {(one.scope.tenant, name) for one in requests for name in one.scope.vector_store_ids}
        followers = self._followers.level({store: store for store in stores})
        return [self._search_one(request, followers) for request in requests]

    @staticmethod
    def _search_one(request: LexicalRequest, followers: dict[Store, _LexicalFollower]) -> LexicalRanking:
        stores = [(request.scope.tenant, name) for name in request.scope.vector_store_ids]
        results = [_existing(followers, store).index.search(request.query, request.k) for store in stores]
        weights: dict[str, float] = {}
        for result in results:
            for word, weight in result.term_weights.items():
                weights[word] = max(weight, weights.get(word, 0.0))
        return LexicalRanking(merge([result.ranking for result in results], request.k), weights)


def merge(rankings: list[Ranking], k: int) -> Ranking:
    """The best `k` of all rankings by score. Keys are unique across stores, so no hit appears twice."""
    if not rankings:
        return Ranking.empty()
    if len(rankings) == 1:
        return Ranking(rankings[0].keys[:k], rankings[0].scores[:k])
    keys = np.concatenate([ranking.keys for ranking in rankings])
    scores = np.concatenate([ranking.scores for ranking in rankings])
    order = np.argsort(-scores, kind="stable")[:k]
    return Ranking(keys[order], scores[order])


def _existing(followers: dict[K, F], key: K) -> F:
    try:
        return followers[key]
    except KeyError:
        raise NotFoundError("vector store", key[1]) from None  # type: ignore[index]
