"""Keep Milvus up to date with the log. Many replicas share one Milvus, and each may update it.

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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from models.corpus.ids import random_id
from models.corpus.positions import Positions, ViewKey
from models.corpus.records import Head, TextChanges, VectorChanges
from models.corpus.views import Views
from models.deadline import Deadline
from models.errors.limits import OverloadedError
from models.errors.requests import ConflictError, NotFoundError
from models.index.milvus_config import MilvusConfig
from models.index.milvus_index import MilvusDenseIndex, MilvusLexicalIndex

logger = logging.getLogger(__name__)

POLL_S = 0.02

C = TypeVar("C", VectorChanges, TextChanges)
I = TypeVar("I", MilvusDenseIndex, MilvusLexicalIndex)  # noqa: E741


@dataclass(frozen=True)
class MilvusSource(Generic[C, I]):
    """The differences of dense and keyword search. `find` returns the index of a store, None if there is none."""

    stage: str
    read: Callable[[ViewKey, int, int], C]  # from (key, after_seq, started_seq)
    find: Callable[[ViewKey], I | None]
    make: Callable[[ViewKey, C], I]
    add: Callable[[I, C], None]


class MilvusFollower(Generic[C, I]):
    """Applies the log to stores and returns their indexes."""

    def __init__(self, source: MilvusSource[C, I], views: Views, positions: Positions, config: MilvusConfig) -> None:
        self._source: MilvusSource[C, I] = source
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
        """Return the cached index. If the position moved, return a new one: it sees all writes up to that position."""
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


def _has_reached(position: Head | None, head: Head) -> bool:
    """Whether the position is at `head` or after it. Another replica may have gone on since `head` was read."""
    return position is not None and position.log_id == head.log_id and position.seq >= head.seq
