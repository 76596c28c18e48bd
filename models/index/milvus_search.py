"""Search in Milvus, level with the log. Many replicas share one Milvus: whoever finds a store behind brings it level.

Before it answers, a replica compares the store's head with the position in the database. Where they differ, one replica
takes the store's lease and applies the log a page at a time; the others wait. Each page is applied at least once:

- it may be applied twice, as a row is written in place of one with its key;
- a replica that dies after it wrote has not moved the position: the page is read again, and then has neither what went
  meanwhile nor a word of its going, so every removal is applied, known or not, and a log from its start clears first;
- a replica that lost its lease over a write may have undone another's: it moves the position back to where it began.
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

PAGE_SIZE = 1_024  # chunks, so that a page takes a small part of the lease: about 0.4 s with 384 dimensions
POLL_S = 0.02

C = TypeVar("C", VectorChanges, TextChanges)
I = TypeVar("I", MilvusDenseIndex, MilvusLexicalIndex)  # noqa: E741


@dataclass(frozen=True)
class _Source(Generic[C, I]):
    """What is special about vectors and words. `find` gives the collection's index of a store, if there is one."""

    stage: str
    read: Callable[[ViewKey, int, int], C]  # after a sequence number, started at another
    find: Callable[[ViewKey], I | None]
    make: Callable[[ViewKey, C], I]
    add: Callable[[I, C], None]


class _Follower(Generic[C, I]):
    """Brings stores level with the log and hands out their indexes."""

    def __init__(self, source: _Source[C, I], views: Views, positions: Positions, config: MilvusConfig) -> None:
        self._source: _Source[C, I] = source
        self._views, self._positions, self._config = views, positions, config
        self._indexes: dict[ViewKey, tuple[Head, I]] = {}
        self._started: dict[tuple[ViewKey, str], int] = {}  # the head when the log of that name was begun

    def level(self, keys: set[ViewKey]) -> dict[ViewKey, I | None]:
        """The index of each key, None for a store that has nothing to find. Two cheap queries if all are level.

        Raises NotFoundError for a store that is not there, OverloadedError if one is not level in time.
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
            if head.seq and not _is_level(position, head):
                position = self._catch_up(key, head, deadline)
            indexes[key] = self._index(key, position) if head.seq and position else None
        return indexes

    def step(self, keys: Iterable[ViewKey]) -> bool:
        """Applies a page to the first store that is behind and that nobody else works on; whether there was one."""
        wanted = set(keys)
        heads = self._views.heads({(key.tenant, key.vector_store_id) for key in wanted})
        positions = self._positions.get(wanted)
        for key in wanted:
            head = heads.get((key.tenant, key.vector_store_id))
            if head is None or not head.seq or _is_level(positions.get(key), head):
                continue
            with self._lease(key) as owner:
                if owner is not None:
                    self._apply_page(key, owner)
                    return True
        return False

    def sweep(self, view: str) -> int:
        """Clears what deleted stores and retired generations left; how many (store, generation) it were."""
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
        """A new one where the position moved: it then reads all that was written up to there."""
        known = self._indexes.get(key)
        if known is None or known[0] != position:
            index = self._source.find(key)
            if index is None:
                return None
            known = self._indexes[key] = (position, index)
        return known[1]

    def _catch_up(self, key: ViewKey, head: Head, deadline: Deadline) -> Head:
        """The position that it is at then, which may be past `head`."""
        while True:
            position = self._positions.get([key]).get(key)
            if position is not None and _is_level(position, head):
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
        """The name to write under, None while another replica writes."""
        owner = random_id("searcher_")
        if not self._positions.claim(key, owner, self._config.lease_s):
            yield None
            return
        try:
            yield owner
        finally:
            self._positions.release(key, owner)

    def _apply_page(self, key: ViewKey, owner: str) -> Head:
        """Applies the next page under the lease. The head of the log that it read."""
        start = self._positions.get([key]).get(key, Head(0, ""))
        changes, start = self._read(key, start)
        self._write(key, start, changes)
        reached = Head(changes.up_to_seq, changes.log_id)
        if not self._positions.advance(key, owner, reached, self._config.lease_s):
            logger.warning("lost the lease of %s over a write: its changes are applied again", key)
            self._positions.rewind(key, start)
        return Head(changes.head_seq, changes.log_id)

    def _read(self, key: ViewKey, start: Head) -> tuple[C, Head]:
        """The changes after `start`, or all of them and the log's beginning if `start` is of no use any more."""
        if start.seq:
            try:
                changes = self._source.read(key, start.seq, self._started.get((key, start.log_id), 0))
                if changes.log_id == start.log_id:
                    return changes, start
            except ConflictError as error:
                logger.info("%s starts again: %s", key, error)
        changes = self._source.read(key, 0, 0)
        # Removals until now were never seen, so it does no harm if the log has forgotten them. Another replica that
        # goes on does not know that, and may have to start again.
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
        # A file's attributes may be older than its chunks, which then come without them.
        index.rows.name_attributes(self._positions.attributes(*store, changes.added_file_keys.tolist()))
        self._source.add(index, changes)


class MilvusDenseSearch:
    """Dense search over every vector store, in a collection a vector space. One caller at a time."""

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
        """A ranking a request. Requests alike but for their vectors share one search.

        Raises NotFoundError if a store of theirs is not there, StageUnavailableError if Milvus does not answer,
        OverloadedError if a store is not level with its log in time.
        """
        members: dict[tuple[ViewKey, Filter | None], list[int]] = defaultdict(list)
        for number, request in enumerate(requests):
            for vector_store_id in request.scope.vector_store_ids:
                key = ViewKey(self._view, request.scope.tenant, vector_store_id, request.generation)
                members[key, request.where].append(number)
        indexes = self._follower.level({key for key, _ in members})
        found: dict[int, list[Ranking]] = defaultdict(list)
        for (key, where), numbers in members.items():
            index = indexes[key]
            if index is None:
                continue
            vectors = np.stack([requests[number].vector for number in numbers])
            rankings = index.search(vectors, max(requests[number].k for number in numbers), where)
            for number, ranking in zip(numbers, rankings, strict=True):
                found[number].append(ranking)
        return [merge(found[number], request.k) for number, request in enumerate(requests)]

    def maintain(self) -> bool:
        """One page for a store that changed lately, in the generation it builds, too; else what is to be swept."""
        active = self._views.recent(MAX_WARM_STORES)
        keys = [
            ViewKey(self._view, store.tenant, store.vector_store_id, generation)
            for store in active
            for generation in store.generations
        ]
        return self._follower.step(keys) or self.sweep() > 0

    def sweep(self) -> int:
        """Clears what deleted stores and retired generations left in Milvus; how many of them there were."""
        return self._follower.sweep(self._view)

    def close(self) -> None:
        self._milvus.close()

    def _find(self, key: ViewKey) -> MilvusDenseIndex | None:
        collection = self._milvus.find_dense(key.generation)
        return None if collection is None else _dense(collection, key, collection.dim)


class MilvusLexicalSearch:
    """Keyword search over every vector store, in one collection. One caller at a time."""

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
        """Whether this Milvus has BM25; where it has not, words are Tantivy's. Raises StageUnavailableError."""
        milvus = Milvus(config)
        try:
            return milvus.server.has_bm25
        finally:
            milvus.close()

    def search(self, requests: list[LexicalRequest]) -> list[LexicalRanking]:
        """A ranking a request, without weights of words. Raises what MilvusDenseSearch does."""
        indexes = self._follower.level({key for request in requests for key in self._keys(request)})
        return [self._search_one(request, indexes) for request in requests]

    def maintain(self) -> bool:
        """One page for a store that changed lately; else what is to be swept."""
        active = self._views.recent(MAX_WARM_STORES)
        keys = [ViewKey(self._view, store.tenant, store.vector_store_id, "") for store in active]
        return self._follower.step(keys) or self.sweep() > 0

    def sweep(self) -> int:
        """Clears what deleted stores left in Milvus; how many of them there were."""
        return self._follower.sweep(self._view)

    def close(self) -> None:
        self._milvus.close()

    def _search_one(self, request: LexicalRequest, indexes: dict[ViewKey, MilvusLexicalIndex | None]) -> LexicalRanking:
        found = [indexes[key] for key in self._keys(request)]
        rankings = [
            index.search(request.query, request.k, request.where).ranking for index in found if index is not None
        ]
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


def _is_level(position: Head | None, head: Head) -> bool:
    """Also past `head`, which may have been read before somebody else went on."""
    return position is not None and position.log_id == head.log_id and position.seq >= head.seq
