"""Indexes that follow the log: each vector store's index applies all changes before it answers."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from models.corpus.records import Changes, Head, TextChanges, VectorChanges
from models.corpus.views import Shard, Views
from models.errors import ConflictError, NotFoundError
from models.filters import Attributes, Filter
from models.index.base import DenseIndex, LexicalIndex
from models.index.snapshots import Snapshots
from models.types import FloatArray, LexicalRanking, Ranking, Scope

Store = tuple[str, str]  # (tenant, vector_store_id)
DenseKey = tuple[str, str, str]  # (tenant, vector_store_id, generation)

MAX_WARM_STORES = 64  # the most recently changed stores; their indexes stay up to date between searches
SNAPSHOT_MIN_CHANGES = 2_000  # chunks; below that, reading the log is as fast
SNAPSHOT_CHANGED_FRACTION = 0.2  # of the index, since the last snapshot


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


C = TypeVar("C", bound=Changes)
I = TypeVar("I", DenseIndex, LexicalIndex)  # noqa: E741


@dataclass(frozen=True)
class _Source(Generic[C, I]):
    """How to read the changes of an index and apply them. `name` identifies its snapshots."""

    name: tuple[str, ...]
    read: Callable[[int, int], C]  # from (after_seq, started_seq)
    make: Callable[[int], I]
    dim: Callable[[C], int]
    add: Callable[[I, C], None]


class _Follower(Generic[C, I]):
    """One store's index and its position in the log. `_Source` has the differences of dense and keyword search."""

    def __init__(self, source: _Source[C, I], snapshots: Snapshots | None) -> None:
        self._source: _Source[C, I] = source
        self._snapshots = snapshots
        self._restart("")

    def catch_up(self, head: Head) -> None:
        """Apply all changes up to `head`."""
        while self.is_behind(head):
            head = self.step(head)

    def is_behind(self, head: Head) -> bool:
        return self.head != head

    def step(self, head: Head) -> Head:
        """Apply one page of changes. Return the head to reach, a new one if the log was restored meanwhile."""
        if self.head.log_id != head.log_id or self.head.seq > head.seq:
            self._restart(head.log_id)
            self._load_snapshot(head)
            return head
        try:
            changes = self._source.read(self.head.seq, self._started_seq)
        except ConflictError:
            self._restart(self.head.log_id)
            return head
        if changes.log_id != self.head.log_id:
            return Head(changes.head_seq, changes.log_id)
        self._apply(changes)
        # The index may already have changes that came after `head` was read.
        return max(head, self.head, key=lambda position: position.seq)

    def save_if_due(self) -> bool:
        """Save a snapshot if enough has changed. Return whether it was saved."""
        if self._snapshots is None or self.index is None:
            return False
        if self._num_unsaved < max(SNAPSHOT_MIN_CHANGES, SNAPSHOT_CHANGED_FRACTION * len(self.index)):
            return False
        self._snapshots.save(self._source.name, self.head, self.index)
        self._num_unsaved = 0
        return True

    def delete_snapshots(self) -> None:
        """Delete the snapshots of an index that is not needed any more."""
        if self._snapshots is not None:
            self._snapshots.delete(self._source.name)

    def _restart(self, log_id: str) -> None:
        self.head, self.index, self._num_unsaved, self._started_seq = Head(0, log_id), None, 0, 0
        self._early_attributes: dict[int, Attributes] = {}

    def _load_snapshot(self, head: Head) -> None:
        snapshot = self._snapshots.load(self._source.name, head, self._source.make) if self._snapshots else None
        if snapshot is not None:
            self.index, seq = snapshot
            self.head, self._started_seq = Head(seq, head.log_id), seq

    def _apply(self, changes: C) -> None:
        if not self.head.seq:
            self._started_seq = changes.head_seq
        # Attributes may come before the first chunk, and only a chunk's vector has the dimensions of a dense index.
        self._early_attributes |= changes.attributes
        if self.index is None and len(changes.added_keys):
            self.index = self._source.make(self._source.dim(changes))
        if self.index is not None:
            self.index.remove(changes.removed_keys)
            self._source.add(self.index, changes)
            self.index.set_attributes(self._early_attributes)
            self._early_attributes = {}
        self.head = Head(changes.up_to_seq, changes.log_id)
        self._num_unsaved += len(changes.added_keys) + len(changes.removed_keys)

    index: I | None
    head: Head
    _num_unsaved: int
    _started_seq: int  # the head when the first page was read


K = TypeVar("K", Store, DenseKey)


class _Followers(Generic[K, C, I]):
    """The followers of recently searched or changed stores, by key. Followers of deleted stores are dropped."""

    def __init__(self, views: Views, make_source: Callable[[K], _Source[C, I]], snapshots: Snapshots | None) -> None:
        self._views, self._snapshots = views, snapshots
        self._make_source: Callable[[K], _Source[C, I]] = make_source
        self._by_key: dict[K, _Follower[C, I]] = {}

    def up_to_date(self, keys: set[K]) -> dict[K, _Follower[C, I]]:
        """Return up-to-date followers of the stores that exist. One cheap query reads all heads."""
        heads = self._views.heads({(key[0], key[1]) for key in keys})
        followers = {}
        for key in keys:
            head = heads.get((key[0], key[1]))
            if head is None:
                self._drop(key)
                continue
            followers[key] = self._follower(key)
            followers[key].catch_up(head)
        return followers

    def maintain(self, keys: set[K]) -> bool:
        """Do one background step: update an index of `keys`, or save a snapshot. Return whether there was one to do."""
        active_stores = {(key[0], key[1]) for key in keys}
        for key in [key for key in self._by_key if key not in keys and (key[0], key[1]) in active_stores]:
            self._drop(key)  # its store is no longer searched in this generation
        all_keys = keys | self._by_key.keys()
        heads = self._views.heads({(key[0], key[1]) for key in all_keys})
        for key in all_keys:
            head = heads.get((key[0], key[1]))
            if head is None:
                self._drop(key)
            elif self._follower(key).is_behind(head):
                self._follower(key).step(head)
                return True
        return any(follower.save_if_due() for follower in self._by_key.values())

    def _drop(self, key: K) -> None:
        follower = self._by_key.pop(key, None)
        if follower is not None:
            follower.delete_snapshots()

    def _follower(self, key: K) -> _Follower[C, I]:
        if key not in self._by_key:
            self._by_key[key] = _Follower(self._make_source(key), self._snapshots)
        return self._by_key[key]


class DenseSearch:
    """Dense search in all vector stores, with one index per store. Not thread-safe."""

    def __init__(
        self,
        views: Views,
        make_index: Callable[[int], DenseIndex],
        snapshots: Snapshots | None = None,
        shard: Shard | None = None,
    ) -> None:
        """With `shard` None, it indexes all chunks."""
        self._views, self._make_index, self._shard = views, make_index, shard
        self._followers = _Followers[DenseKey, VectorChanges, DenseIndex](views, self._source, snapshots)

    def search(self, requests: list[DenseRequest]) -> list[Ranking]:
        """Return one ranking per request. Requests that differ only in their vectors share one search of an index.

        Raises NotFoundError for an unknown store.
        """
        members: dict[tuple[DenseKey, Filter | None], list[int]] = defaultdict(list)
        for position, request in enumerate(requests):
            for vector_store_id in request.scope.vector_store_ids:
                key = (request.scope.tenant, vector_store_id, request.generation)
                members[key, request.where].append(position)
        followers = self._followers.up_to_date({key for key, _ in members})
        rankings_of: dict[int, list[Ranking]] = defaultdict(list)
        for (key, where), positions in members.items():
            index = _existing(followers, key).index
            if index is None or not len(index):
                continue
            vectors = np.stack([requests[position].vector for position in positions])
            rankings = index.search(vectors, max(requests[position].k for position in positions), where)
            for position, ranking in zip(positions, rankings, strict=True):
                rankings_of[position].append(ranking)
        return [merge(rankings_of[position], request.k) for position, request in enumerate(requests)]

    def maintain(self) -> bool:
        """Do one step of updating the most recently changed stores, also in the generation they build."""
        active = self._views.recent(MAX_WARM_STORES)
        return self._followers.maintain(
            {(store.tenant, store.vector_store_id, generation) for store in active for generation in store.generations}
        )

    def _source(self, key: DenseKey) -> _Source[VectorChanges, DenseIndex]:
        tenant, vector_store_id, generation = key
        return _Source(
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

    def __init__(
        self, views: Views, make_index: Callable[[], LexicalIndex], snapshots: Snapshots | None = None
    ) -> None:
        self._views, self._make_index = views, make_index
        self._followers = _Followers[Store, TextChanges, LexicalIndex](views, self._source, snapshots)

    def search(self, requests: list[LexicalRequest]) -> list[LexicalRanking]:
        """Return one ranking per request, with its words' weights in the searched stores. Raises NotFoundError."""
        stores = {(request.scope.tenant, name) for request in requests for name in request.scope.vector_store_ids}
        followers = self._followers.up_to_date(stores)
        return [self._rank(request, followers) for request in requests]

    @staticmethod
    def _rank(request: LexicalRequest, followers: dict[Store, _Follower[TextChanges, LexicalIndex]]) -> LexicalRanking:
        stores = [(request.scope.tenant, name) for name in request.scope.vector_store_ids]
        indexes = [_existing(followers, store).index for store in stores]
        results = [index.search(request.query, request.k, request.where) for index in indexes if index is not None]
        weights: dict[str, float] = {}
        for result in results:
            for word, weight in result.term_weights.items():
                weights[word] = max(weight, weights.get(word, 0.0))
        return LexicalRanking(merge([result.ranking for result in results], request.k), weights)

    def maintain(self) -> bool:
        """Do one step of updating the most recently changed stores."""
        active = self._views.recent(MAX_WARM_STORES)
        return self._followers.maintain({(store.tenant, store.vector_store_id) for store in active})

    def _source(self, key: Store) -> _Source[TextChanges, LexicalIndex]:
        return _Source(
            name=("lexical", *key),
            read=lambda seq, started_seq: self._views.text_changes(*key, seq, started_seq=started_seq),
            make=lambda _: self._make_index(),
            dim=lambda _: 0,
            add=lambda index, changes: index.add(changes.added_keys, changes.added_file_keys, list(changes.texts)),
        )


def _add_vectors(index: DenseIndex, changes: VectorChanges) -> None:
    # If a generation is retired and built again, its keys come again, and the index may still have them.
    if len(changes.added_keys):
        index.remove(changes.added_keys)
        index.add(changes.added_keys, changes.added_file_keys, changes.vectors)


def merge(rankings: list[Ranking], k: int) -> Ranking:
    """Return the best `k` hits of all rankings by score. Stores and shards have different keys, so no hit repeats."""
    if not rankings:
        return Ranking.empty()
    if len(rankings) == 1:
        return Ranking(rankings[0].keys[:k], rankings[0].scores[:k])
    keys = np.concatenate([ranking.keys for ranking in rankings])
    scores = np.concatenate([ranking.scores for ranking in rankings])
    order = np.argsort(-scores, kind="stable")[:k]
    return Ranking(keys[order], scores[order])


def _existing(followers: dict[K, _Follower[C, I]], key: K) -> _Follower[C, I]:
    try:
        return followers[key]
    except KeyError:
        raise NotFoundError("vector store", key[1]) from None
