"""Followers of the log: each has one store's index, and applies all changes before a search."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from models.corpus.records import Changes, Head
from models.corpus.views import Views
from models.errors.requests import ConflictError, NotFoundError
from models.filters import Attributes
from models.index.base import FollowedIndex
from models.index.snapshots import Snapshots

Store = tuple[str, str]  # (tenant, vector_store_id)
DenseKey = tuple[str, str, str]  # (tenant, vector_store_id, generation)

MAX_WARM_STORES = 64  # the most recently changed stores; their indexes stay up to date between searches
SNAPSHOT_MIN_CHANGES = 2_000  # chunks; below that, reading the log is as fast
SNAPSHOT_CHANGED_FRACTION = 0.2  # of the index, since the last snapshot

C = TypeVar("C", bound=Changes)
I = TypeVar("I", bound=FollowedIndex)  # noqa: E741


@dataclass(frozen=True)
class Source(Generic[C, I]):
    """How to read the changes of an index and apply them. `name` identifies its snapshots."""

    name: tuple[str, ...]
    read: Callable[[int, int], C]  # from (after_seq, started_seq)
    make: Callable[[int], I]
    dim: Callable[[C], int]
    add: Callable[[I, C], None]


class Follower(Generic[C, I]):
    """One store's index and its position in the log. `Source` has the differences between the kinds of search."""

    def __init__(self, source: Source[C, I], snapshots: Snapshots | None) -> None:
        self._source: Source[C, I] = source
        self._snapshots = snapshots
        self._restart("")

    def catch_up(self, head: Head, max_steps: int | None = None) -> None:
        """Apply all changes up to `head`, or those of `max_steps` steps."""
        num_steps = 0
        while self.is_behind(head) and num_steps != max_steps:
            head, num_steps = self.step(head), num_steps + 1

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


class Followers(Generic[K, C, I]):
    """The followers of recently searched or changed stores, by key. Followers of deleted stores are dropped."""

    def __init__(self, views: Views, make_source: Callable[[K], Source[C, I]], snapshots: Snapshots | None) -> None:
        self._views, self._snapshots = views, snapshots
        self._make_source: Callable[[K], Source[C, I]] = make_source
        self._by_key: dict[K, Follower[C, I]] = {}

    def current(self, key: K) -> Follower[C, I] | None:
        """Return the follower of `key` without a look at the log, None if there is none yet."""
        return self._by_key.get(key)

    @property
    def num_chunks(self) -> int:
        """Chunks of the indexes in memory."""
        return sum(len(follower.index) for follower in self._by_key.values() if follower.index is not None)

    def up_to_date(self, keys: set[K], max_steps: int | None = None) -> dict[K, Follower[C, I]]:
        """Return up-to-date followers of the stores that exist. One cheap query reads all heads.

        After `max_steps` steps a follower may still be behind.
        """
        heads = self._views.heads({(key[0], key[1]) for key in keys})
        followers = {}
        for key in keys:
            head = heads.get((key[0], key[1]))
            if head is None:
                self._drop(key)
                continue
            followers[key] = self._follower(key)
            followers[key].catch_up(head, max_steps)
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

    def _follower(self, key: K) -> Follower[C, I]:
        if key not in self._by_key:
            self._by_key[key] = Follower(self._make_source(key), self._snapshots)
        return self._by_key[key]


def recent_generations(views: Views, max_stores: int = MAX_WARM_STORES) -> set[DenseKey]:
    """Return the most recently changed stores, in the generations that they search and build."""
    active = views.recent(max_stores)
    return {(store.tenant, store.vector_store_id, generation) for store in active for generation in store.generations}


def existing_follower(followers: dict[K, Follower[C, I]], key: K) -> Follower[C, I]:
    try:
        return followers[key]
    except KeyError:
        raise NotFoundError("vector store", key[1]) from None
