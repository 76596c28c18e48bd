"""Search in Milvus, up to date with the log. Many replicas share one Milvus, and each may update it.

Before a search, a replica compares the store's head with the position in the database. If they differ, one replica
takes the store's lease and applies the log page by page. The others wait. Each page is applied at least once:

- Applying a page twice is safe, because a row replaces the row with its key.
- If a replica dies after its write, the position has not moved, and the page is read again. Chunks that were removed
  meanwhile are then in no page. So all removals are applied, even of unknown chunks, and a log that is read from the
  start clears the store first.
- If a replica loses its lease during a write, it may have overwritten another replica's newer rows. It then moves the
  position back to where it began.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from models.corpus.ids import random_id
from models.corpus.positions import Positions, ViewKey
from models.corpus.records import Head, TextChanges, VectorChanges
from models.corpus.views import Views
from models.errors import ConflictError, NotFoundError, OverloadedError
from models.filters import Filter
from models.index.follow import MAX_WARM_STORES, DenseRequest, LexicalRequest, merge
from models.index.milvus_collection import Collection, Milvus
from models.index.milvus_config import MilvusConfig
from models.index.milvus_index import MilvusDenseIndex, MilvusLexicalIndex
from models.types import Deadline, LexicalRanking, Ranking

logger = logging.getLogger(__name__)

PAGE_SIZE = 1_024  # chunks; a page takes about 0.4 s with 384 dimensions, a small part of the lease
POLL_S = 0.02

C = TypeVar("C", VectorChanges, TextChanges)
I = TypeVar("I", MilvusDenseIndex, MilvusLexicalIndex)  # noqa: E741


@dataclass(frozen=True)
class _Source(Generic[C, I]):
    """The differences of dense and keyword search. `find` returns the index of a store, None if there is none."""

    stage: str
    read: Callable[[ViewKey, int, int], C]  # from (key, after_seq, started_seq)
    find: Callable[[ViewKey], I | None]
    make: Callable[[ViewKey, C], I]
    add: Callable[[I, C], None]


class _Follower(Generic[C, I]):
    """Applies the log to stores and returns their indexes."""

    def __init__(self, source: _Source[C, I], views: Views, positions: Positions, config: MilvusConfig) -> None:
        self._source: _Source[C, I] = source
        self._views, self._positions, self._config = views, positions, config
        self._indexes: dict[ViewKey, tuple[Head, I]] = {}
        self._started: dict[tuple[ViewKey, str], int] = {}  # the head when this log was read from its start

    def up_to_date(self, keys: set[ViewKey]) -> dict[ViewKey, I | None]:
        """Return the index of each key, None for an empty store. Two cheap queries if all are up to date.

        Raises NotFoundError for an unknown store, OverloadedError if a store is not up to date in time.
        """
        heads = self._views.heads({(key.tenant, key.vector_store_id) for key in keys})
        positions = self._positions.get(keys)
        deadline = Deadline.after(self._config.catch_up_timeout_s)
        indexes = {}
        for key in keys:
            head = heads.get((key.tenant, key.vector_store_id))
            if head is None:
                self._indexes.pop(key, None)
                raise NotFoundError("vector store", key.vector_store_id)
            position = positions.get(key)
            if head.seq and not _has_reached(position, head):
                position = self._catch_up(key, head, deadline)
            indexes[key] = self._index(key, position) if head.seq and position else None
        return indexes

    def step(self, keys: Iterable[ViewKey]) -> bool:
        """Apply a page to one store that is behind and not leased. Return whether there was one."""
        distinct_keys = set(keys)
        heads = self._views.heads({(key.tenant, key.vector_store_id) for key in distinct_keys})
        positions = self._positions.get(distinct_keys)
        for key in distinct_keys:
            head = heads.get((key.tenant, key.vector_store_id))
            if head is None or not head.seq or _has_reached(positions.get(key), head):
                continue
            with self._lease(key) as owner:
                if owner is not None:
                    self._apply_page(key, owner)
                    return True
        return False

    def sweep(self, view: str) -> int:
        """Clear the rows of deleted stores and retired generations. Return the number of cleared keys."""
        num_swept = 0
        for key in self._positions.orphans(view):
            with self._lease(key) as owner:
                if owner is not None:
                    index = self._source.find(key)
                    if index is not None:
                        index.rows.clear()
                    self._positions.forget(key, owner)
                    self._indexes.pop(key, None)
                    num_swept += 1
        return num_swept

    def _index(self, key: ViewKey, position: Head) -> I | None:
        """Return the cached index, or a new one if the position moved, whose reads see all writes up to there."""
        cached = self._indexes.get(key)
        if cached is None or cached[0] != position:
            index = self._source.find(key)
            if index is None:
                return None
            cached = self._indexes[key] = (position, index)
        return cached[1]

    def _catch_up(self, key: ViewKey, head: Head, deadline: Deadline) -> Head:
        """Wait until the store has reached `head`. Return its position, which may be after `head`."""
        while True:
            position = self._positions.get([key]).get(key)
            if position is not None and _has_reached(position, head):
                return position
            if not deadline.remaining_s():
                raise OverloadedError(self._source.stage)
            with self._lease(key) as owner:
                if owner is not None:
                    head = self._apply_page(key, owner)
            if owner is None:
                time.sleep(POLL_S)

    @contextmanager
    def _lease(self, key: ViewKey) -> Iterator[str | None]:
        """Claim the lease and yield its owner's name; yield None while another replica has it."""
        owner = random_id("searcher_")
        if not self._positions.claim(key, owner, self._config.lease_s):
            yield None
            return
        try:
            yield owner
        finally:
            self._positions.release(key, owner)

    def _apply_page(self, key: ViewKey, owner: str) -> Head:
        """Apply the next page under the lease. Return the head of the log that was read."""
        start = self._positions.get([key]).get(key, Head(0, ""))
        changes, start = self._read(key, start)
        self._write(key, start, changes)
        reached = Head(changes.up_to_seq, changes.log_id)
        if not self._positions.advance(key, owner, reached, self._config.lease_s):
            logger.warning("lost the lease of %s during a write; its changes are applied again", key)
            self._positions.rewind(key, start)
        return Head(changes.head_seq, changes.log_id)

    def _read(self, key: ViewKey, start: Head) -> tuple[C, Head]:
        """Read the changes after `start`. If `start` is not valid any more, read from the start of the log."""
        if start.seq:
            try:
                changes = self._source.read(key, start.seq, self._started.get((key, start.log_id), 0))
                if changes.log_id == start.log_id:
                    return changes, start
            except ConflictError as error:
                logger.info("%s is read again from the start of its log: %s", key, error)
        changes = self._source.read(key, 0, 0)
        # Removals before this head are not needed, so the log may have deleted them. Another replica that continues
        # does not know this head, and may have to start again.
        self._started[key, changes.log_id] = changes.head_seq
        return changes, Head(0, changes.log_id)

    def _write(self, key: ViewKey, start: Head, changes: C) -> None:
        index = self._source.make(key, changes) if len(changes.added_keys) else self._source.find(key)
        if index is None:
            return
        if not start.seq:
            index.rows.clear()
        store = (key.tenant, key.vector_store_id)
        if start.seq:
            index.remove(self._positions.removed(*store, start.seq, changes.up_to_seq))
        index.set_attributes(changes.attributes)
        if not len(changes.added_keys):
            return
        # Attributes may be older than the file's chunks, and then they are not in this page.
        index.rows.remember_attributes(self._positions.attributes(*store, changes.added_file_keys.tolist()))
        self._source.add(index, changes)


class MilvusDenseSearch:
    """Dense search in all vector stores, with one collection per vector space. Not thread-safe."""

    def __init__(self, views: Views, positions: Positions, config: MilvusConfig) -> None:
        self._views, self._milvus = views, Milvus(config)
        self._view = f"{config.prefix} vectors"
        source = _Source[VectorChanges, MilvusDenseIndex](
            stage="dense",
            read=lambda key, seq, started_seq: views.vector_changes(
                key.tenant, key.vector_store_id, seq, key.generation, limit=PAGE_SIZE, started_seq=started_seq
            ),
            find=self._find,
            make=lambda key, changes: _dense(
                self._milvus.make_dense(key.generation, changes.vectors.shape[1]), key, changes.vectors.shape[1]
            ),
            add=lambda index, changes: index.add(changes.added_keys, changes.added_file_keys, changes.vectors),
        )
        self._follower = _Follower(source, views, positions, config)

    def search(self, requests: list[DenseRequest]) -> list[Ranking]:
        """Return one ranking per request. Requests that differ only in their vectors share one search.

        Raises NotFoundError for an unknown store, StageUnavailableError if Milvus does not answer, and OverloadedError
        if a store is not up to date in time.
        """
        members: dict[tuple[ViewKey, Filter | None], list[int]] = defaultdict(list)
        for number, request in enumerate(requests):
            for vector_store_id in request.scope.vector_store_ids:
                key = ViewKey(self._view, request.scope.tenant, vector_store_id, request.generation)
                members[key, request.where].append(number)
        indexes = self._follower.up_to_date({key for key, _ in members})
        rankings_of: dict[int, list[Ranking]] = defaultdict(list)
        for (key, where), numbers in members.items():
            index = indexes[key]
            if index is None:
                continue
            vectors = np.stack([requests[number].vector for number in numbers])
            rankings = index.search(vectors, max(requests[number].k for number in numbers), where)
            for number, ranking in zip(numbers, rankings, strict=True):
                rankings_of[number].append(ranking)
        return [merge(rankings_of[number], request.k) for number, request in enumerate(requests)]

    def maintain(self) -> bool:
        """Apply a page to a recently changed store, also in the generation it builds, or sweep.

        Return whether there was work.
        """
        active = self._views.recent(MAX_WARM_STORES)
        keys = [
            ViewKey(self._view, store.tenant, store.vector_store_id, generation)
            for store in active
            for generation in store.generations
        ]
        return self._follower.step(keys) or self.sweep() > 0

    def sweep(self) -> int:
        """Clear the rows of deleted stores and retired generations in Milvus. Return how many were cleared."""
        return self._follower.sweep(self._view)

    def close(self) -> None:
        self._milvus.close()

    def _find(self, key: ViewKey) -> MilvusDenseIndex | None:
        collection = self._milvus.find_dense(key.generation)
        return None if collection is None else _dense(collection, key, collection.dim)


class MilvusLexicalSearch:
    """Keyword search in all vector stores, in one collection. Not thread-safe."""

    def __init__(self, views: Views, positions: Positions, config: MilvusConfig) -> None:
        self._views, self._milvus = views, Milvus(config)
        self._view = f"{config.prefix} words"
        source = _Source[TextChanges, MilvusLexicalIndex](
            stage="lexical",
            read=lambda key, seq, started_seq: views.text_changes(
                key.tenant, key.vector_store_id, seq, limit=PAGE_SIZE, started_seq=started_seq
            ),
            find=self._find,
            make=lambda key, _: _lexical(self._milvus.make_lexical(), key),
            add=lambda index, changes: index.add(changes.added_keys, changes.added_file_keys, list(changes.texts)),
        )
        self._follower = _Follower(source, views, positions, config)

    @staticmethod
    def is_supported(config: MilvusConfig) -> bool:
        """Whether this Milvus has BM25; if not, use Tantivy for keyword search. Raises StageUnavailableError."""
        milvus = Milvus(config)
        try:
            return milvus.server.has_bm25
        finally:
            milvus.close()

    def search(self, requests: list[LexicalRequest]) -> list[LexicalRanking]:
        """Return one ranking per request, without word weights. Raises what MilvusDenseSearch.search raises."""
        indexes = self._follower.up_to_date({key for request in requests for key in self._keys(request)})
        return [self._rank(request, indexes) for request in requests]

    def maintain(self) -> bool:
        """Apply a page to a recently changed store, or sweep. Return whether there was work."""
        active = self._views.recent(MAX_WARM_STORES)
        keys = [ViewKey(self._view, store.tenant, store.vector_store_id, "") for store in active]
        return self._follower.step(keys) or self.sweep() > 0

    def sweep(self) -> int:
        """Clear the rows of deleted stores in Milvus. Return how many stores were cleared."""
        return self._follower.sweep(self._view)

    def close(self) -> None:
        self._milvus.close()

    def _rank(self, request: LexicalRequest, indexes: dict[ViewKey, MilvusLexicalIndex | None]) -> LexicalRanking:
        searched = [index for key in self._keys(request) if (index := indexes[key]) is not None]
        rankings = [index.search(request.query, request.k, request.where).ranking for index in searched]
        return LexicalRanking(merge(rankings, request.k), {})

    def _keys(self, request: LexicalRequest) -> list[ViewKey]:
        return [ViewKey(self._view, request.scope.tenant, name, "") for name in request.scope.vector_store_ids]

    def _find(self, key: ViewKey) -> MilvusLexicalIndex | None:
        collection = self._milvus.find_lexical()
        return None if collection is None else _lexical(collection, key)


def _dense(collection: Collection, key: ViewKey, dim: int) -> MilvusDenseIndex:
    return MilvusDenseIndex(collection, key.tenant, key.vector_store_id, dim)


def _lexical(collection: Collection, key: ViewKey) -> MilvusLexicalIndex:
    return MilvusLexicalIndex(collection, key.tenant, key.vector_store_id)


def _has_reached(position: Head | None, head: Head) -> bool:
    """Whether the position is at `head` or after it. Another replica may have gone on since `head` was read."""
    return position is not None and position.log_id == head.log_id and position.seq >= head.seq
