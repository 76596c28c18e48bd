"""Vector stores. Every tenant has one called `default` from the start."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, case, delete, func, insert, select, update

from models.corpus.chunking import Chunking
from models.corpus.chunks import is_attachment, remove_chunks
from models.corpus.database import Database, insert_if_new, is_storable
from models.corpus.expiry import ACTIVITY, expires_at, expiry_error, has_expired, is_expired
from models.corpus.ids import random_id
from models.corpus.outbox import record_events
from models.corpus.paging import fetch_page
from models.corpus.records import AttachmentId, FileCounts, IndexSize, Page, PageRequest, VectorStore, VectorStoreStatus
from models.corpus.reingestion import reingest
from models.corpus.schema import chunks, jobs, store_files, vector_stores
from models.corpus.store_changes import VectorStoreChanges, enrichment_columns, to_options
from models.enrichment.options import PLAIN, IngestOptions
from models.errors.requests import InvalidRequestError, NotFoundError
from models.errors.storage import STORAGE_ERRORS
from models.types.scope import DEFAULT_VECTOR_STORE

# OpenAI's limits of an object's metadata.
MAX_METADATA = 16
MAX_METADATA_KEY_CHARS = 64
MAX_METADATA_VALUE_CHARS = 512
TOUCH_EVERY_S = 60  # so that not every search of a store with an expiry writes


@dataclass(frozen=True)
class VectorStores:
    """Creates, lists and deletes vector stores. Another tenant's store counts as not found."""

    database: Database
    clock: Callable[[], float]

    def create(
        self,
        tenant: str,
        name: str,
        metadata: dict[str, str] | None = None,
        expires_after_days: int | None = None,
        chunking: Chunking | None = None,
        options: IngestOptions = PLAIN,
    ) -> VectorStore:
        """Create a store. Raises InvalidRequestError for an unstorable name or metadata beyond OpenAI's limits."""
        _check_name(name)
        check_metadata(metadata or {})
        now, vector_store_id = int(self.clock()), random_id("vs_")
        row = new_row(tenant, vector_store_id, name, now)
        row |= {"metadata": metadata or {}, "expires_after_days": expires_after_days}
        row |= {"chunking": chunking.to_json() if chunking else None}
        row |= enrichment_columns(options.enrichment, options.masked)
        with self.database.writing() as connection:
            connection.execute(insert(vector_stores).values(row))
            return _get_record(connection, tenant, vector_store_id, now)

    def modify(self, tenant: str, vector_store_id: str, changes: VectorStoreChanges) -> VectorStore:
        """Change a store. Raises NotFoundError, InvalidRequestError, and ConflictError for an expired store."""
        values, now = changes.to_row(), int(self.clock())
        _check_name(values.get("name", ""))
        check_metadata(values.get("metadata", {}))
        with self.database.writing() as connection:
            lock_unexpired(connection, tenant, vector_store_id, now)
            if not values:
                return _get_record(connection, tenant, vector_store_id, now)
            before = _get_record(connection, tenant, vector_store_id, now)
            statement = update(vector_stores).where(is_store(vector_stores, tenant, vector_store_id))
            connection.execute(statement.values(values))
            after = _get_record(connection, tenant, vector_store_id, now)
            if after.options == before.options:
                return after
            reingest(connection, tenant, vector_store_id, now)
            return _get_record(connection, tenant, vector_store_id, now)

    def touch(self, tenant: str, vector_store_ids: Sequence[str]) -> list[dict[str, str]]:
        """Record a search, which postpones the expiry of a store, and return the metadata of the stores, in order.

        Writes at most once a minute per store.

        Raises NotFoundError for an unknown store, ConflictError for an expired one.
        """
        now, parameters = int(self.clock()), {"tenant": tenant, "vector_store_ids": tuple(vector_store_ids)}
        with self.database.reading() as connection:
            rows = {row.vector_store_id: row for row in connection.execute(ACTIVITY, parameters)}
        for vector_store_id in vector_store_ids:
            row = rows.get(vector_store_id)
            if row is None and vector_store_id != DEFAULT_VECTOR_STORE:
                raise NotFoundError("vector store", vector_store_id)
            if row is not None and is_expired(row, now):
                raise expiry_error(vector_store_id)
        for vector_store_id, row in sorted(rows.items()):
            if row.expires_after_days is not None and now - row.last_active_at >= TOUCH_EVERY_S:
                # A search goes on, also while nothing can be written. The next one records it.
                with suppress(*STORAGE_ERRORS), self.database.writing() as connection:
                    _update_locked(connection, tenant, vector_store_id, now, num_changes=0)
        return [rows[name].metadata for name in vector_store_ids if name in rows]

    def expire(self) -> int:
        """Remove the files from every expired store; the store's row stays. Return the number of files."""
        now, columns = int(self.clock()), vector_stores.c
        of_store = and_(
            store_files.c.tenant == columns.tenant, store_files.c.vector_store_id == columns.vector_store_id
        )
        query = select(store_files.c.tenant, store_files.c.vector_store_id, store_files.c.file_id)
        query = query.join(vector_stores, of_store).where(has_expired(now))
        with self.database.reading() as connection:
            expired = connection.execute(query).all()
        num_detached = 0
        for tenant, vector_store_id, file_id in expired:
            with self.database.deleting() as connection:
                num_detached += self._expire_file(connection, AttachmentId(tenant, vector_store_id, file_id))
        return num_detached

    def _expire_file(self, connection: Connection, attachment: AttachmentId) -> int:
        """Remove the file and return 1; return 0 if the store was used or the file removed meanwhile."""
        now, is_this = int(self.clock()), is_store(vector_stores, attachment.tenant, attachment.vector_store_id)
        query = select(vector_stores.c.store_key).where(is_this, has_expired(now))
        if connection.scalar(query.with_for_update()) is None:
            return 0
        seq = advance(connection, attachment.tenant, attachment.vector_store_id, now)
        remove_chunks(connection, attachment, seq)
        record_events(connection, "document.deleted", is_attachment(store_files, attachment), now)
        return connection.execute(delete(store_files).where(is_attachment(store_files, attachment))).rowcount

    def get(self, tenant: str, vector_store_id: str) -> VectorStore:
        """Raises NotFoundError."""
        self._ensure_default(tenant)
        with self.database.reading() as connection:
            return _get_record(connection, tenant, vector_store_id, int(self.clock()))

    def index_size(self, tenant: str, vector_store_id: str) -> IndexSize:
        """Count what the store's index has. Takes time in proportion to it. Raises NotFoundError."""
        num_bytes = self.get(tenant, vector_store_id).usage_bytes
        query = select(func.count(), func.coalesce(func.sum(chunks.c.num_tokens), 0))
        with self.database.reading() as connection:
            num_chunks, num_tokens = connection.execute(query.where(is_store(chunks, tenant, vector_store_id))).one()
        return IndexSize(num_chunks, int(num_tokens), num_bytes)

    def page(self, tenant: str, request: PageRequest) -> Page[VectorStore]:
        self._ensure_default(tenant)
        query = select(vector_stores).where(vector_stores.c.tenant == tenant)
        after = select(vector_stores.c.store_key).where(is_store(vector_stores, tenant, request.cursor))
        with self.database.reading() as connection:
            rows = fetch_page(connection, query, vector_stores.c.store_key, request, after)
            return Page(_to_records(connection, tenant, int(self.clock()), rows.items), rows.has_more)

    def delete(self, tenant: str, vector_store_id: str) -> None:
        """Delete the store and its chunks; the files stay. `default` is emptied instead. Raises NotFoundError."""
        with self.database.deleting() as connection:
            is_this = is_store(vector_stores, tenant, vector_store_id)
            connection.execute(select(vector_stores.c.store_key).where(is_this).with_for_update())
            # So that no job of the store can still end, and write an event after these.
            connection.execute(delete(jobs).where(is_store(jobs, tenant, vector_store_id)))
            of_store = is_store(store_files, tenant, vector_store_id)
            record_events(connection, "document.deleted", of_store, self.clock())
            statement = delete(vector_stores).where(is_this)
            if connection.execute(statement).rowcount == 0 and vector_store_id != DEFAULT_VECTOR_STORE:
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


def new_row(tenant: str, vector_store_id: str, name: str, now: int) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "vector_store_id": vector_store_id,
        "name": name,
        "created_at": now,
        "last_active_at": now,
        "metadata": {},
        "seq": 0,
        "log_id": random_id("log_"),
    }


def lock_store(connection: Connection, tenant: str, vector_store_id: str, now: int, num_changes: int = 0) -> None:
    """Lock the store against other writers until the transaction ends. Create `default` if it is missing.

    `num_changes` raises its sequence number. Raises NotFoundError.
    """
    if vector_store_id == DEFAULT_VECTOR_STORE:
        _insert_default(connection, tenant, now)
    _update_locked(connection, tenant, vector_store_id, now, num_changes=num_changes)


def advance(connection: Connection, tenant: str, vector_store_id: str, now: int) -> int:
    """Lock the store until the transaction ends, and return its next sequence number.

    Call this before you write the rows with that number. The lock makes numbers commit in order, so a view that has
    read up to n has missed nothing below n. Raises NotFoundError.
    """
    return _update_locked(connection, tenant, vector_store_id, now, num_changes=1)


def lock_unexpired(connection: Connection, tenant: str, vector_store_id: str, now: int) -> None:
    """Lock the store as `lock_store` does. Raises NotFoundError, and ConflictError for an expired store."""
    lock_store(connection, tenant, vector_store_id, now)
    is_this = is_store(vector_stores, tenant, vector_store_id)
    if connection.scalar(select(vector_stores.c.store_key).where(is_this, has_expired(now))) is not None:
        raise expiry_error(vector_store_id)


def _update_locked(connection: Connection, tenant: str, vector_store_id: str, now: int, num_changes: int) -> int:
    columns = vector_stores.c
    statement = update(vector_stores).where(is_store(vector_stores, tenant, vector_store_id))
    # A job or a deletion that ends in an expired store does not make the store active again.
    last_active_at = case((has_expired(now), columns.last_active_at), else_=now)
    values = {"seq": columns.seq + num_changes, "last_active_at": last_active_at}
    seq = connection.scalar(statement.values(values).returning(vector_stores.c.seq))
    if seq is None:
        raise NotFoundError("vector store", vector_store_id)
    return seq


def _insert_default(connection: Connection, tenant: str, now: int) -> None:
    insert_if_new(connection, vector_stores, new_row(tenant, DEFAULT_VECTOR_STORE, DEFAULT_VECTOR_STORE, now))


def _check_name(name: str) -> None:
    if not is_storable(name):
        raise InvalidRequestError("the name has NUL characters or lone surrogates; remove them", "name")


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Raise InvalidRequestError for metadata beyond OpenAI's limits."""
    if len(metadata) > MAX_METADATA:
        raise InvalidRequestError(f"metadata has {len(metadata)} keys; at most {MAX_METADATA} are allowed", "metadata")
    for key, value in metadata.items():
        if not 1 <= len(key) <= MAX_METADATA_KEY_CHARS or len(value) > MAX_METADATA_VALUE_CHARS:
            limits = f"a key has 1 to {MAX_METADATA_KEY_CHARS} characters, a value at most {MAX_METADATA_VALUE_CHARS}"
            raise InvalidRequestError(
                f"metadata {key[:MAX_METADATA_KEY_CHARS]!r} has a wrong length: {limits}", "metadata"
            )
        if not (is_storable(key) and is_storable(value)):
            raise InvalidRequestError("metadata has NUL characters or lone surrogates; remove them", "metadata")


def _status(row: Row[Any], now: int, counts: dict[str, int]) -> VectorStoreStatus:
    if is_expired(row, now):
        return "expired"
    return "in_progress" if counts.get("in_progress") else "completed"


def _get_record(connection: Connection, tenant: str, vector_store_id: str, now: int) -> VectorStore:
    row = connection.execute(select(vector_stores).where(is_store(vector_stores, tenant, vector_store_id))).first()
    if row is None:
        raise NotFoundError("vector store", vector_store_id)
    return _to_records(connection, tenant, now, (row,))[0]


def _to_records(connection: Connection, tenant: str, now: int, rows: tuple[Row[Any], ...]) -> tuple[VectorStore, ...]:
    """Build the records. One query adds up the files of all stores."""
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
            status=_status(row, now, counts[row.vector_store_id]),
            metadata=row.metadata,
            expires_after_days=row.expires_after_days,
            expires_at=expires_at(row),
            generation=row.generation,
            building=row.building,
            chunking=None if row.chunking is None else Chunking.from_json(row.chunking),
            options=to_options(row),
        )
        for row in rows
    )
