"""Vector stores. One called `default` stands from the start for every tenant."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, delete, func, insert, select, update

from models.corpus.database import Database, insert_if_new
from models.corpus.ids import random_id
from models.corpus.paging import fetch_page
from models.corpus.records import FileCounts, Page, PageRequest, VectorStore
from models.corpus.schema import store_files, vector_stores
from models.errors import ConflictError, NotFoundError
from models.types import DEFAULT_VECTOR_STORE


@dataclass(frozen=True)
class VectorStores:
    """Creates, lists and deletes vector stores. Another tenant's are as unknown as those that never were."""

    database: Database
    clock: Callable[[], float]

    def create(self, tenant: str, name: str) -> VectorStore:
        now, vector_store_id = int(self.clock()), random_id("vs_")
        row = new_row(tenant, vector_store_id, name, now)
        with self.database.writing() as connection:
            connection.execute(insert(vector_stores).values(row))
        return VectorStore(tenant, vector_store_id, name, now, now, 0, FileCounts())

    def get(self, tenant: str, vector_store_id: str) -> VectorStore:
        """Raises NotFoundError."""
        self._ensure_default(tenant)
        with self.database.reading() as connection:
            row = connection.execute(
                select(vector_stores).where(is_store(vector_stores, tenant, vector_store_id))
            ).first()
            if row is None:
                raise NotFoundError("vector store", vector_store_id)
            return _to_records(connection, tenant, (row,))[0]

    def page(self, tenant: str, request: PageRequest) -> Page[VectorStore]:
        self._ensure_default(tenant)
        query = select(vector_stores).where(vector_stores.c.tenant == tenant)
        after = select(vector_stores.c.store_key).where(is_store(vector_stores, tenant, request.after))
        with self.database.reading() as connection:
            rows = fetch_page(connection, query, vector_stores.c.store_key, request, after)
            return Page(_to_records(connection, tenant, rows.items), rows.has_more)

    def delete(self, tenant: str, vector_store_id: str) -> None:
        """Forgets the store and its chunks; the files stay. Raises NotFoundError, ConflictError for `default`."""
        if vector_store_id == DEFAULT_VECTOR_STORE:
            # It would come back with its sequence at 0, which running views would take for old news.
            raise ConflictError("the default vector store cannot be deleted; delete its files instead")
        with self.database.writing() as connection:
            statement = delete(vector_stores).where(is_store(vector_stores, tenant, vector_store_id))
            if connection.execute(statement).rowcount == 0:
                raise NotFoundError("vector store", vector_store_id)

    def _ensure_default(self, tenant: str) -> None:
        is_default = is_store(vector_stores, tenant, DEFAULT_VECTOR_STORE)
        with self.database.reading() as connection:
            if connection.scalar(select(vector_stores.c.store_key).where(is_default)) is not None:
                return
        with self.database.writing() as connection:
            _insert_default(connection, tenant, int(self.clock()))


def is_store(table: Table, tenant: str, vector_store_id: str | None) -> ColumnElement[bool]:
    return and_(table.c.tenant == tenant, table.c.vector_store_id == vector_store_id)


def new_row(tenant: str, vector_store_id: str, name: str, now: int) -> dict[str, str | int]:
    return {
        "tenant": tenant,
        "vector_store_id": vector_store_id,
        "name": name,
        "created_at": now,
        "last_active_at": now,
        "seq": 0,
    }


def lock_store(connection: Connection, tenant: str, vector_store_id: str, now: int) -> None:
    """Keeps other writers out of the store until the transaction ends, and creates `default` if that is the one.

    Raises NotFoundError.
    """
    if vector_store_id == DEFAULT_VECTOR_STORE:
        _insert_default(connection, tenant, now)
    _update_locked(connection, tenant, vector_store_id, now, num_changes=0)


def advance(connection: Connection, tenant: str, vector_store_id: str, now: int) -> int:
    """The store's next sequence number, with the store locked until the transaction ends.

    Call it before the rows it numbers are touched: who holds the lock has the highest number, so numbers are
    committed in order and a view that has read up to n has missed nothing below n. Raises NotFoundError.
    """
    return _update_locked(connection, tenant, vector_store_id, now, num_changes=1)


def _update_locked(connection: Connection, tenant: str, vector_store_id: str, now: int, num_changes: int) -> int:
    statement = update(vector_stores).where(is_store(vector_stores, tenant, vector_store_id))
    values = {"seq": vector_stores.c.seq + num_changes, "last_active_at": now}
    seq = connection.scalar(statement.values(values).returning(vector_stores.c.seq))
    if seq is None:
        raise NotFoundError("vector store", vector_store_id)
    return seq


def _insert_default(connection: Connection, tenant: str, now: int) -> None:
    insert_if_new(connection, vector_stores, new_row(tenant, DEFAULT_VECTOR_STORE, DEFAULT_VECTOR_STORE, now))


def _to_records(connection: Connection, tenant: str, rows: tuple[Row[Any], ...]) -> tuple[VectorStore, ...]:
    """Adds to each store what its files sum up to, in one query for all."""
    columns = store_files.c
    query = (
        select(columns.vector_store_id, columns.status, func.count(), func.sum(columns.usage_bytes))
        .where(columns.tenant == tenant, columns.vector_store_id.in_([row.vector_store_id for row in rows]))
        .group_by(columns.vector_store_id, columns.status)
    )
    counts: dict[str, dict[str, int]] = {row.vector_store_id: {} for row in rows}
    usage_bytes = dict.fromkeys(counts, 0)
    for vector_store_id, status, num_files, num_bytes in connection.execute(query):
        counts[vector_store_id][status] = num_files
        usage_bytes[vector_store_id] += int(num_bytes)
    return tuple(
        VectorStore(
            tenant=row.tenant,
            vector_store_id=row.vector_store_id,
            name=row.name,
            created_at=row.created_at,
            last_active_at=row.last_active_at,
            usage_bytes=usage_bytes[row.vector_store_id],
            file_counts=FileCounts(**counts[row.vector_store_id]),
        )
        for row in rows
    )
