"""When a vector store expires: some days after it was last used."""

from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, select

from models.corpus.schema import vector_stores
from models.errors.requests import ConflictError

DAY_S = 86_400

# The stores of a search, with what decides their expiry and their answers. Built once: every question reads it.
ACTIVITY: Select[Any] = select(
    vector_stores.c.vector_store_id,
    vector_stores.c.last_active_at,
    vector_stores.c.expires_after_days,
    vector_stores.c.metadata,
).where(
    vector_stores.c.tenant == bindparam("tenant"),
    vector_stores.c.vector_store_id.in_(bindparam("vector_store_ids", expanding=True)),
)


def expires_at(row: Row[Any]) -> int | None:
    """The Unix time of a store's row, None if it never expires."""
    return None if row.expires_after_days is None else row.last_active_at + row.expires_after_days * DAY_S


def is_expired(row: Row[Any], now: int) -> bool:
    return row.expires_after_days is not None and row.last_active_at + row.expires_after_days * DAY_S <= now


def has_expired(now: int) -> ColumnElement[bool]:
    """The same condition as `is_expired`, in SQL."""
    columns = vector_stores.c
    is_past = columns.last_active_at + columns.expires_after_days * DAY_S <= now
    return and_(columns.expires_after_days.is_not(None), is_past)


def expiry_error(vector_store_id: str) -> ConflictError:
    return ConflictError(f"vector store {vector_store_id!r} has expired; create a new one")
