"""How far shared views (Milvus) have read the log, and which replica may write to them.

Many replicas share such a view, so its positions are in the database: one row per (view, tenant, store, generation).
A replica writes under a lease on the same key (leases.py).
"""

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, not_, or_, select, update

from models.corpus.database import Database, insert_if_new
from models.corpus.leases import claim_lease, is_leased, release_lease, renew_lease
from models.corpus.records import Head
from models.corpus.schema import removed_chunks, store_files, vector_stores, view_positions
from models.corpus.vector_stores import is_store
from models.filters import Attributes
from models.types.arrays import KeyArray

_KEY_COLUMNS = ("view", "tenant", "vector_store_id", "generation")


@dataclass(frozen=True, order=True)
class ViewKey:
    """One store in one view. `generation` is empty for a keyword view."""

    view: str
    tenant: str
    vector_store_id: str
    generation: str

    @property
    def resource(self) -> str:
        """The resource's name for leases. JSON, so that no two keys share one."""
        return json.dumps(["view", self.view, self.tenant, self.vector_store_id, self.generation])

    @property
    def row(self) -> dict[str, str]:
        return dict(vars(self))


@dataclass(frozen=True)
class Positions:
    """Reads and moves positions. A position advances only under a lease. `clock` gives Unix seconds."""

    database: Database
    clock: Callable[[], float]

    def get(self, keys: Collection[ViewKey]) -> dict[ViewKey, Head]:
        """Return the position of each key that has one, from one query."""
        columns = view_positions.c
        distinct_keys = set(keys)
        query: Select[Any] = select(view_positions).where(
            *(columns[name].in_({getattr(key, name) for key in distinct_keys}) for name in _KEY_COLUMNS)
        )
        with self.database.reading() as connection:
            rows = connection.execute(query).all()
        # The query matches each column alone, so it may return other combinations too.
        positions = {ViewKey(*(getattr(row, name) for name in _KEY_COLUMNS)): Head(row.seq, row.log_id) for row in rows}
        return {key: position for key, position in positions.items() if key in distinct_keys}

    def claim(self, key: ViewKey, owner: str, lease_s: float) -> bool:
        """Claim the lease. If True, `owner` may write, and the key has a position, so that `orphans` can list it."""
        with self.database.reading() as connection:
            # Waiting replicas poll often. This check saves them SQLite's write lock.
            if is_leased(connection, key.resource, self.clock(), lease_s):
                return False
        with self.database.writing() as connection:
            if not claim_lease(connection, key.resource, owner, self.clock(), lease_s):
                return False
            insert_if_new(connection, view_positions, key.row | {"log_id": "", "seq": 0})
            return True

    def advance(self, key: ViewKey, owner: str, head: Head, lease_s: float) -> bool:
        """Move the position and renew the lease. False, and no change, if the lease was lost."""
        with self.database.writing() as connection:
            if not renew_lease(connection, key.resource, owner, self.clock(), lease_s):
                return False
            return _set(connection, _is(key), head)

    def rewind(self, key: ViewKey, head: Head) -> None:
        """Move the position back to `head`, or to the start if it is of another log, after a write without a lease.

        The changes after it are then applied again. A forgotten key gets a position again, so that `orphans` can list
        what was written.
        """
        is_past = and_(_is(key), view_positions.c.log_id == head.log_id, view_positions.c.seq > head.seq)
        is_other_log = and_(_is(key), view_positions.c.log_id != head.log_id)
        with self.database.writing() as connection:
            insert_if_new(connection, view_positions, key.row | {"log_id": "", "seq": 0})
            _set(connection, is_past, head)
            _set(connection, is_other_log, Head(0, ""))

    def release(self, key: ViewKey, owner: str) -> None:
        """End the lease, if the owner has it."""
        with self.database.writing() as connection:
            release_lease(connection, key.resource, owner)

    def forget(self, key: ViewKey, owner: str) -> None:
        """Delete position and lease, if the owner has the lease."""
        with self.database.writing() as connection:
            if release_lease(connection, key.resource, owner):
                connection.execute(delete(view_positions).where(_is(key)))

    def orphans(self, view: str) -> list[ViewKey]:
        """List the keys whose store is deleted, or does not search, build or keep as `previous` their generation."""
        columns, stores = view_positions.c, vector_stores.c
        generations = (stores.generation, stores.building, stores.previous)
        is_current = or_(columns.generation == "", *(columns.generation == name for name in generations))
        has_store = exists().where(
            stores.tenant == columns.tenant, stores.vector_store_id == columns.vector_store_id, is_current
        )
        query = select(*(columns[name] for name in _KEY_COLUMNS)).where(columns.view == view, not_(has_store))
        with self.database.reading() as connection:
            return [ViewKey(*row) for row in connection.execute(query)]

    def removed(self, tenant: str, vector_store_id: str, after_seq: int, up_to_seq: int) -> KeyArray:
        """Return the chunks removed in between, also those added in between: a write that died may have left them."""
        columns = removed_chunks.c
        is_between = and_(columns.seq > after_seq, columns.seq <= up_to_seq)
        query = select(columns.chunk_key).where(is_store(removed_chunks, tenant, vector_store_id), is_between)
        with self.database.reading() as connection:
            return np.array(connection.scalars(query).all(), np.int64)

    def attributes(self, tenant: str, vector_store_id: str, file_keys: Iterable[int]) -> dict[int, Attributes]:
        """Return the current attributes by file key. Files without attributes are absent."""
        columns = store_files.c
        query = select(columns.store_file_key, columns.attributes).where(
            is_store(store_files, tenant, vector_store_id), columns.store_file_key.in_(set(file_keys))
        )
        with self.database.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query) if row[1]}


def _is(key: ViewKey) -> ColumnElement[bool]:
    return and_(*(view_positions.c[name] == value for name, value in key.row.items()))


def _set(connection: Connection, condition: ColumnElement[bool], head: Head) -> bool:
    values = {"seq": head.seq, "log_id": head.log_id}
    return connection.execute(update(view_positions).where(condition).values(values)).rowcount == 1
