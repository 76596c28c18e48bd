"""How far views that live elsewhere (Milvus) have read the log, and which replica may write to them.

Many replicas share such a view, so its positions are in the database, not in a replica. A row a (view, tenant, store,
generation); a replica writes under a lease on the same key (leases.py).
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
from models.types import KeyArray


@dataclass(frozen=True, order=True)
class ViewKey:
    """One store in one view; `generation` is empty for a view of words."""

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
    """Leases say who writes; a position moves only under one. `clock` gives Unix seconds."""

    database: Database
    clock: Callable[[], float]

    def get(self, keys: Collection[ViewKey]) -> dict[ViewKey, Head]:
        """The position of each key that has one, from one query."""
        columns = view_positions.c
        wanted = set(keys)
        query: Select[Any] = select(view_positions).where(
            *(columns[name].in_({getattr(key, name) for key in wanted}) for name in ("view", *_STORE))
        )
        with self.database.reading() as connection:
            rows = connection.execute(query).all()
        found = {ViewKey(row.view, row.tenant, row.vector_store_id, row.generation): row for row in rows}
        return {key: Head(row.seq, row.log_id) for key, row in found.items() if key in wanted}

    def claim(self, key: ViewKey, owner: str, lease_s: float) -> bool:
        """Whether `owner` may write now. From then on the key has a position, so that what is written is swept."""
        with self.database.reading() as connection:
            # Those who wait ask often: they do not take SQLite's write lock for nothing.
            if is_leased(connection, key.resource, self.clock()):
                return False
        with self.database.writing() as connection:
            if not claim_lease(connection, key.resource, owner, self.clock(), lease_s):
                return False
            insert_if_new(connection, view_positions, key.row | {"log_id": "", "seq": 0})
            return True

    def advance(self, key: ViewKey, owner: str, head: Head, lease_s: float) -> bool:
        """Moves the position and prolongs the lease; False, and nothing is done, if the lease was lost."""
        with self.database.writing() as connection:
            if not renew_lease(connection, key.resource, owner, self.clock(), lease_s):
                return False
            return _set(connection, _is(key), head)

    def rewind(self, key: ViewKey, head: Head) -> None:
        """Has what came after `head` applied once more, or another log from its start: somebody without a lease wrote.

        A key that was forgotten meanwhile is known again, so that what was written is swept.
        """
        is_past = and_(_is(key), view_positions.c.log_id == head.log_id, view_positions.c.seq > head.seq)
        is_other = and_(_is(key), view_positions.c.log_id != head.log_id)
        with self.database.writing() as connection:
            insert_if_new(connection, view_positions, key.row | {"log_id": "", "seq": 0})
            _set(connection, is_past, head)
            _set(connection, is_other, Head(0, ""))

    def release(self, key: ViewKey, owner: str) -> None:
        with self.database.writing() as connection:
            release_lease(connection, key.resource, owner)

    def forget(self, key: ViewKey, owner: str) -> None:
        """Position and lease go, if the lease is held."""
        with self.database.writing() as connection:
            if release_lease(connection, key.resource, owner):
                connection.execute(delete(view_positions).where(_is(key)))

    def orphans(self, view: str) -> list[ViewKey]:
        """Keys whose store is gone, or whose generation the store neither has nor builds nor could go back to."""
        columns, stores = view_positions.c, vector_stores.c
        generations = (stores.generation, stores.building, stores.previous)
        is_known = or_(columns.generation == "", *(columns.generation == name for name in generations))
        is_there = exists().where(
            stores.tenant == columns.tenant, stores.vector_store_id == columns.vector_store_id, is_known
        )
        query = select(*(columns[name] for name in ("view", *_STORE))).where(columns.view == view, not_(is_there))
        with self.database.reading() as connection:
            return [ViewKey(*row) for row in connection.execute(query)]

    def removed(self, tenant: str, vector_store_id: str, after_seq: int, up_to_seq: int) -> KeyArray:
        """The chunks that went in between, also those that came in between: an attempt that died may have left them."""
        columns = removed_chunks.c
        is_between = and_(columns.seq > after_seq, columns.seq <= up_to_seq)
        query = select(columns.chunk_key).where(is_store(removed_chunks, tenant, vector_store_id), is_between)
        with self.database.reading() as connection:
            return np.array(connection.scalars(query).all(), np.int64)

    def attributes(self, tenant: str, vector_store_id: str, file_keys: Iterable[int]) -> dict[int, Attributes]:
        """By file key, as they are now; files without any are absent."""
        columns, asked = store_files.c, set(file_keys)
        query = select(columns.store_file_key, columns.attributes).where(
            is_store(store_files, tenant, vector_store_id), columns.store_file_key.in_(asked)
        )
        with self.database.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query) if row[1]}


_STORE = ("tenant", "vector_store_id", "generation")


def _is(key: ViewKey) -> ColumnElement[bool]:
    return and_(*(view_positions.c[name] == value for name, value in key.row.items()))


def _set(connection: Connection, which: ColumnElement[bool], head: Head) -> bool:
    values = {"seq": head.seq, "log_id": head.log_id}
    return connection.execute(update(view_positions).where(which).values(values)).rowcount == 1
