"""Files attached to a vector store together, as in OpenAI's file batches."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_, func, insert, select, update

from models.corpus.chunking import INHERITED, ChosenChunking
from models.corpus.database import Database
from models.corpus.ids import random_id
from models.corpus.progress import batch_progress, ended_batch_progress
from models.corpus.records import AttachmentId, FileBatch, FileCounts, FileStatus, Page, PageRequest, StoreFile
from models.corpus.schema import batch_files, file_batches, store_files
from models.corpus.store_files import (
    attach_file,
    cancel,
    check_attributes,
    lock_file,
    read_page,
    with_status,
)
from models.corpus.vector_stores import advance, is_store, lock_store, lock_unexpired
from models.errors.requests import InvalidRequestError, NotFoundError
from models.filters import Attributes

MAX_BATCH_FILES = 500  # as OpenAI's


@dataclass(frozen=True)
class BatchItem:
    """A file to attach, its chunking and its attributes."""

    file_id: str
    chunking: ChosenChunking = INHERITED
    attributes: Attributes | None = None


@dataclass(frozen=True)
class FileBatches:
    """Creates, reads and cancels batches. A batch's status follows from the statuses of its files."""

    database: Database
    clock: Callable[[], float]

    def create(self, tenant: str, vector_store_id: str, items: Sequence[BatchItem]) -> FileBatch:
        """Attach every file, or none. Raises what `StoreFiles.attach` raises."""
        _check_items(items)
        now, batch_id = int(self.clock()), random_id("vsfb_")
        store = {"tenant": tenant, "vector_store_id": vector_store_id}
        with self.database.writing() as connection:
            # Lock files in sorted order, so that two batches cannot deadlock on common files. Then lock the store.
            for file_id in sorted(item.file_id for item in items):
                lock_file(connection, tenant, file_id)
            lock_unexpired(connection, tenant, vector_store_id, now)
            is_change = any(item.attributes is not None for item in items)
            seq = advance(connection, tenant, vector_store_id, now) if is_change else 0
            for item in items:
                attachment = AttachmentId(tenant, vector_store_id, item.file_id)
                attach_file(connection, attachment, item.chunking, item.attributes, seq, now)
            connection.execute(insert(file_batches).values(store | {"batch_id": batch_id, "created_at": now}))
            rows = [store | {"batch_id": batch_id, "file_id": item.file_id} for item in items]
            connection.execute(insert(batch_files), rows)
            return self._get(connection, tenant, vector_store_id, batch_id)

    def get(self, tenant: str, vector_store_id: str, batch_id: str) -> FileBatch:
        """Raises NotFoundError."""
        with self.database.reading() as connection:
            return self._get(connection, tenant, vector_store_id, batch_id)

    def _get(self, connection: Connection, tenant: str, vector_store_id: str, batch_id: str) -> FileBatch:
        batch = _get(connection, tenant, vector_store_id, batch_id)
        if batch.file_counts.in_progress:
            progress = batch_progress(connection, tenant, vector_store_id, batch_id, self.clock())
        else:
            progress = ended_batch_progress(connection, tenant, vector_store_id, batch_id)
        return replace(batch, progress=progress)

    def cancel(self, tenant: str, vector_store_id: str, batch_id: str) -> FileBatch:
        """Cancel the files that are in progress. A batch that has ended does not change. Raises NotFoundError."""
        in_progress = _members(tenant, vector_store_id, batch_id).where(store_files.c.status == "in_progress")
        with self.database.writing() as connection:
            _get(connection, tenant, vector_store_id, batch_id)
            lock_store(connection, tenant, vector_store_id, int(self.clock()))
            rows = connection.execute(in_progress).all()
            for row in rows:
                cancel(connection, AttachmentId(tenant, vector_store_id, row.file_id))
            if rows:
                is_batch = _is_batch(file_batches, tenant, vector_store_id, batch_id)
                connection.execute(update(file_batches).where(is_batch).values(is_cancelled=True))
            return self._get(connection, tenant, vector_store_id, batch_id)

    def files(
        self,
        tenant: str,
        vector_store_id: str,
        batch_id: str,
        request: PageRequest,
        status: FileStatus | None = None,
    ) -> Page[StoreFile]:
        """Return a page of the batch's files that are still in the store. Raises NotFoundError, InvalidRequestError."""
        query = with_status(_members(tenant, vector_store_id, batch_id), status)
        with self.database.reading() as connection:
            _get(connection, tenant, vector_store_id, batch_id)
            return read_page(connection, query, (tenant, vector_store_id), request, self.clock())


def _check_items(items: Sequence[BatchItem]) -> None:
    if not 1 <= len(items) <= MAX_BATCH_FILES:
        raise InvalidRequestError(f"the batch has {len(items)} files; it must have 1 to {MAX_BATCH_FILES}", "file_ids")
    file_id, count = Counter(item.file_id for item in items).most_common(1)[0]
    if count > 1:
        raise InvalidRequestError(f"file {file_id!r} is {count} times in the batch; list each file once", "file_ids")
    for item in items:
        check_attributes(item.attributes or {})


def _is_batch(table: Table, tenant: str, vector_store_id: str, batch_id: str) -> ColumnElement[bool]:
    return and_(is_store(table, tenant, vector_store_id), table.c.batch_id == batch_id)


def _members(tenant: str, vector_store_id: str, batch_id: str) -> Select[Any]:
    """Select the batch's rows of store_files."""
    is_member = and_(*(batch_files.c[name] == store_files.c[name] for name in ("tenant", "vector_store_id", "file_id")))
    query: Select[Any] = select(store_files).join(batch_files, is_member)
    return query.where(_is_batch(batch_files, tenant, vector_store_id, batch_id))


def _get(connection: Connection, tenant: str, vector_store_id: str, batch_id: str) -> FileBatch:
    row = connection.execute(
        select(file_batches).where(_is_batch(file_batches, tenant, vector_store_id, batch_id))
    ).first()
    if row is None:
        raise NotFoundError("vector store file batch", batch_id)
    columns = store_files.c
    query = _members(tenant, vector_store_id, batch_id).with_only_columns(columns.status, func.count())
    counts = FileCounts(
        **{status: num_files for status, num_files in connection.execute(query.group_by(columns.status))}
    )
    return FileBatch(batch_id, vector_store_id, row.created_at, _status(row, counts), counts)


def _status(row: Row[Any], counts: FileCounts) -> FileStatus:
    if row.is_cancelled:
        return "cancelled"
    if counts.in_progress:
        return "in_progress"
    return "failed" if counts.failed and counts.failed == counts.total else "completed"
