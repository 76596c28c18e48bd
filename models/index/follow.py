"""Indexes that follow the log: each vector store's index catches up with what is stored before it answers."""

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

MAX_WARM_STORES = 64  # the stores that changed last are kept level while nobody searches them
SNAPSHOT_MIN_CHANGES = 2_000  # chunks; below that, reading the log is as quick
SNAPSHOT_SHARE = 0.2  # of the index, changed since the last snapshot


@dataclass(frozen=True)
class DenseRequest:
    """One search: `vector` (dim,) float32 of the vector space `generation`."""

    vector: FloatArray
    generation: str
    scope: Scope
    k: int
    where: Filter | None = None


@dataclass(frozen=True)
class LexicalRequest:
    """One search for the words of `query`."""

    query: str
    scope: Scope
    k: int
    where: Filter | None = None


C = TypeVar("C", bound=Changes)
I = TypeVar("I", DenseIndex, LexicalIndex)  # noqa: E741


@dataclass(frozen=True)
class _Source(Generic[C, I]):
    """Where an index's changes come from, and how they are put in. `name` is that of its snapshots."""

    name: tuple[str, ...]
    read: Callable[[int, int], C]  # after a sequence number, started at another
    make: Callable[[int], I]
    dim: Callable[[C], int]
    add: Callable[[I, C], None]


class _Follower(Generic[C, I]):
    """One store's index, and how far it has read the log. What is special about dense and keyword is in `_Source`."""

    def __init__(self, source: _Source[C, I], snapshots: Snapshots | None) -> None:
        self._source: _Source[C, I] = source
        self._snapshots = snapshots
        self._restart("")

    def catch_up(self, head: Head) -> None:
        """Brings the index level with `head`."""
        while self.is_behind(head):
            head = self.step(head)

    def is_behind(self, head: Head) -> bool:
        return self.head != head

    def step(self, head: Head) -> Head:
        """Reads one page of changes. The head to reach: another one if the log was restored meanwhile."""
        if self.head.log_id != head.log_id or self.head.seq > head.seq:
            self._restart(head.log_id)
            self._take_up_snapshot(head)
            return head
        try:
            changes = self._source.read(self.head.seq, self._started_seq)
        except ConflictError:
            self._restart(self.head.log_id)
            return head
        if changes.log_id != self.head.log_id:
            return Head(changes.head_seq, changes.log_id)
        self._apply(changes)
        # What came since `head` was read is in the index already.
        return max(head, self.head, key=lambda one: one.seq)

    def save_if_due(self) -> bool:
        """Whether enough had changed for a new snapshot, which is then saved."""
        if self._snapshots is None or self.index is None:
            return False
        if self._num_unsaved < max(SNAPSHOT_MIN_CHANGES, SNAPSHOT_SHARE * len(self.index)):
            return False
        self._snapshots.save(self._source.name, self.head, self.index)
        self._num_unsaved = 0
        return True

    def forget(self) -> None:
        """Nobody will ask for it again."""
        if self._snapshots is not None:
            self._snapshots.delete(self._source.name)

    def _restart(self, log_id: str) -> None:
        self.head, self.index, self._num_unsaved, self._started_seq = Head(0, log_id), None, 0, 0
        self._early_attributes: dict[int, Attributes] = {}

    def _take_up_snapshot(self, head: Head) -> None:
        found = self._snapshots.load(self._source.name, head, self._source.make) if self._snapshots else None
        if found is not None:
            self.index, self.head, self._started_seq = found[0], Head(found[1], head.log_id), found[1]

    def _apply(self, changes: C) -> None:
        if not self.head.seq:
            self._started_seq = changes.head_seq
        # A file's attributes may come before its first chunk, from which alone a dense index learns its dimensions.
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
    """The followers of every store that was searched or changed lately, by key; a deleted store's is let go."""

    def __init__(self, views: Views, make_source: Callable[[K], _Source[C, I]], snapshots: Snapshots | None) -> None:
        self._views, self._snapshots = views, snapshots
        self._make_source: Callable[[K], _Source[C, I]] = make_source
        self._by_key: dict[K, _Follower[C, I]] = {}

    def level(self, keys: set[K]) -> dict[K, _Follower[C, I]]:
        """Followers level with the log, of those stores that exist. One cheap query for all of them."""
        heads = self._views.heads({(key[0], key[1]) for key in keys})
        level = {}
        for key in keys:
            head = heads.get((key[0], key[1]))
            if head is None:
                self._let_go(key)
                continue
            level[key] = self._follower(key)
            level[key].catch_up(head)
        return level

    def maintain(self, keys: set[K]) -> bool:
        """One step of what no search should wait for: keeps `keys` level, saves snapshots. Whether there is more."""
        listed = {(key[0], key[1]) for key in keys}
        for key in [key for key in self._by_key if key not in keys and (key[0], key[1]) in listed]:
            self._let_go(key)  # a generation that its store is no longer searched in
        wanted = keys | self._by_key.keys()
        heads = self._views.heads({(key[0], key[1]) for key in wanted})
        for key in wanted:
            head = heads.get((key[0], key[1]))
            if head is None:
                self._let_go(key)
            elif self._follower(key).is_behind(head):
                self._follower(key).step(head)
                return True
        return any(follower.save_if_due() for follower in self._by_key.values())

    def _let_go(self, key: K) -> None:
        follower = self._by_key.pop(key, None)
        if follower is not None:
            follower.forget()

    def _follower(self, key: K) -> _Follower[C, I]:
        if key not in self._by_key:
            self._by_key[key] = _Follower(self._make_source(key), self._snapshots)
        return self._by_key[key]


class DenseSearch:
    """Dense search over every vector store, an index each. One caller at a time."""

    def __init__(
        self,
        views: Views,
        make_index: Callable[[int], DenseIndex],
        snapshots: Snapshots | None = None,
        shard: Shard | None = None,
    ) -> None:
        """`shard` None follows all chunks."""
        self._views, self._make_index, self._shard = views, make_index, shard
        self._followers = _Followers[DenseKey, VectorChanges, DenseIndex](views, self._source, snapshots)

    def search(self, requests: list[DenseRequest]) -> list[Ranking]:
        """A ranking a request. Requests alike but for their vectors share one search of an index.

        Raises NotFoundError if a store of theirs is not there.
        """
        members: dict[tuple[DenseKey, Filter | None], list[int]] = defaultdict(list)
        for position, request in enumerate(requests):
            for vector_store_id in request.scope.vector_store_ids:
                key = (request.scope.tenant, vector_store_id, request.generation)
                members[key, request.where].append(position)
        followers = self._followers.level({key for key, _ in members})
        found: dict[int, list[Ranking]] = defaultdict(list)
        for (key, where), positions in members.items():
            index = _existing(followers, key).index
            if index is None or not len(index):
                continue
            vectors = np.stack([requests[position].vector for position in positions])
            rankings = index.search(vectors, max(requests[position].k for position in positions), where)
            for position, ranking in zip(positions, rankings, strict=True):
                found[position].append(ranking)
        return [merge(found[position], request.k) for position, request in enumerate(requests)]

    def maintain(self) -> bool:
        """One step of catching up with the stores that changed last, in the generation they build, too."""
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
    """Keyword search over every vector store, an index each. One caller at a time."""

    def __init__(
        self, views: Views, make_index: Callable[[], LexicalIndex], snapshots: Snapshots | None = None
    ) -> None:
        self._views, self._make_index = views, make_index
        self._followers = _Followers[Store, TextChanges, LexicalIndex](views, self._source, snapshots)

    def search(self, requests: list[LexicalRequest]) -> list[LexicalRanking]:
        """A ranking a request, with its words' weights in the stores searched. Raises NotFoundError."""
        stores = {(one.scope.tenant, name) for one in requests for name in one.scope.vector_store_ids}
        followers = self._followers.level(stores)
        return [self._search_one(request, followers) for request in requests]

    @staticmethod
    def _search_one(
        request: LexicalRequest, followers: dict[Store, _Follower[TextChanges, LexicalIndex]]
    ) -> LexicalRanking:
        stores = [(request.scope.tenant, name) for name in request.scope.vector_store_ids]
        indexes = [_existing(followers, store).index for store in stores]
        results = [index.search(request.query, request.k, request.where) for index in indexes if index is not None]
        weights: dict[str, float] = {}
        for result in results:
            for word, weight in result.term_weights.items():
                weights[word] = max(weight, weights.get(word, 0.0))
        return LexicalRanking(merge([result.ranking for result in results], request.k), weights)

    def maintain(self) -> bool:
        """One step of catching up with the stores that changed last."""
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
    # A generation that was retired and then built again brings the keys of chunks that the index may still have.
    if len(changes.added_keys):
        index.remove(changes.added_keys)
        index.add(changes.added_keys, changes.added_file_keys, changes.vectors)


def merge(rankings: list[Ranking], k: int) -> Ranking:
    """The best `k` of all rankings by score. Keys are unique across stores and shards, so no hit appears twice."""
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
