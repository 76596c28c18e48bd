"""Files in vector stores, and the status of their ingestion."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, func, insert, select, update

from models.corpus.chunking import INHERITED, ChosenChunking, Chunking, Inherited
from models.corpus.chunks import is_attachment, remove_chunks
from models.corpus.database import Database, is_storable
from models.corpus.failures import UNKNOWN_REASON, Failure
from models.corpus.job_queue import enqueue
from models.corpus.near_duplicates import add_duplicates
from models.corpus.outbox import record_events
from models.corpus.paging import fetch_page
from models.corpus.parse_report import ParseReport
from models.corpus.progress import add_progress
from models.corpus.records import AttachmentId, FileStatus, Page, PageRequest, StoredChunk, StoreFile
from models.corpus.reingestion import FRESH
from models.corpus.schema import chunks, files, jobs, store_files, vector_stores
from models.corpus.vector_stores import advance, is_store, lock_unexpired
from models.errors.requests import InvalidRequestError, NotFoundError
from models.filters import Attributes
from models.types.scope import DEFAULT_VECTOR_STORE

# OpenAI's limits of a vector store file's attributes.
MAX_ATTRIBUTES = 16
MAX_ATTRIBUTE_KEY_CHARS = 64
MAX_ATTRIBUTE_VALUE_CHARS = 512


@dataclass(frozen=True)
class StoreFiles:
    """Attaches files to vector stores and detaches them. Another tenant's file or store counts as not found."""

    database: Database
    clock: Callable[[], float]

    def attach(
        self,
        tenant: str,
        vector_store_id: str,
        file_id: str,
        chunking: ChosenChunking = INHERITED,
        attributes: Attributes | None = None,
    ) -> StoreFile:
        """Add the file to the store durably, in_progress and with a job.

        If the store has the file already, ingest it again only if it failed, was cancelled, or gets another
        `chunking`. Searches return its old chunks until then. `attributes` None keeps the existing attributes.
        `chunking` INHERITED keeps that of the file, or takes that of the store.
        Raises NotFoundError, InvalidRequestError, and ConflictError for an expired store.
        """
        check_attributes(attributes or {})
        attachment, now = AttachmentId(tenant, vector_store_id, file_id), int(self.clock())
        with self.database.writing() as connection:
            # Every writer locks in this order: file, store, job, store file.
            lock_file(connection, tenant, file_id)
            lock_unexpired(connection, tenant, vector_store_id, now)
            attributes_seq = 0 if attributes is None else advance(connection, tenant, vector_store_id, now)
            attach_file(connection, attachment, chunking, attributes, attributes_seq, now)
            return self._get(connection, attachment)

    def set_attributes(self, tenant: str, vector_store_id: str, file_id: str, attributes: Attributes) -> StoreFile:
        """Replace all attributes of the file. The next search filters by them.

        Raises NotFoundError, InvalidRequestError.
        """
        check_attributes(attributes)
        attachment = AttachmentId(tenant, vector_store_id, file_id)
        with self.database.writing() as connection:
            seq = advance(connection, tenant, vector_store_id, int(self.clock()))
            _get(connection, attachment)
            write_attributes(connection, attachment, attributes, seq)
            return self._get(connection, attachment)

    def chunks(self, tenant: str, vector_store_id: str, file_id: str) -> tuple[StoredChunk, ...]:
        """Return the searched chunks of the file, in the order of its text. Raises NotFoundError."""
        attachment, columns = AttachmentId(tenant, vector_store_id, file_id), chunks.c
        place = (columns.start_char, columns.end_char, columns.context, func.coalesce(columns.source_map, ""))
        query: Select[Any] = select(columns.chunk_id, columns.text, *place)
        query = query.where(is_attachment(chunks, attachment)).order_by(columns.start_char, columns.chunk_key)
        with self.database.reading() as connection:
            _get(connection, attachment)
            return tuple(StoredChunk(*row) for row in connection.execute(query))

    def get(self, tenant: str, vector_store_id: str, file_id: str) -> StoreFile:
        """Raises NotFoundError."""
        with self.database.reading() as connection:
            return self._get(connection, AttachmentId(tenant, vector_store_id, file_id))

    def attributes_of(self, tenant: str, file_id: str) -> dict[str, Attributes]:
        """The attributes of a file in each of its vector stores, with those derived from its text."""
        is_file = and_(store_files.c.tenant == tenant, store_files.c.file_id == file_id)
        columns = (store_files.c.vector_store_id, store_files.c.attributes, store_files.c.derived)
        with self.database.reading() as connection:
            rows = connection.execute(select(*columns).where(is_file)).all()
        return {row.vector_store_id: (row.derived or {}) | (row.attributes or {}) for row in rows}

    def _get(self, connection: Connection, attachment: AttachmentId) -> StoreFile:
        store, records = (attachment.tenant, attachment.vector_store_id), (_get(connection, attachment),)
        return add_duplicates(connection, *store, add_progress(connection, *store, records, self.clock()))[0]

    def page(
        self, tenant: str, vector_store_id: str, request: PageRequest, status: FileStatus | None = None
    ) -> Page[StoreFile]:
        """Return a page of the store's files, of one status if set. Raises NotFoundError, InvalidRequestError."""
        query = with_status(select(store_files).where(is_store(store_files, tenant, vector_store_id)), status)
        with self.database.reading() as connection:
            check_store(connection, tenant, vector_store_id)
            return read_page(connection, query, (tenant, vector_store_id), request, self.clock())

    def detach(self, tenant: str, vector_store_id: str, file_id: str) -> None:
        """Remove the file from the store. The next search does not find it. Raises NotFoundError."""
        with self.database.deleting() as connection:
            detach_file(connection, AttachmentId(tenant, vector_store_id, file_id), int(self.clock()))


def with_status(query: Select[Any], status: FileStatus | None) -> Select[Any]:
    """The files of the query that have `status`; None: all."""
    return query if status is None else query.where(store_files.c.status == status)


def read_page(
    connection: Connection, query: Select[Any], store: tuple[str, str], request: PageRequest, now: float
) -> Page[StoreFile]:
    """A page of the files that `query` selects in `store` (tenant, id), with their progress and near-duplicates."""
    after = is_attachment(store_files, AttachmentId(*store, request.cursor or ""))
    find_after = select(store_files.c.store_file_key).where(after)
    rows = fetch_page(connection, query, store_files.c.store_file_key, request, find_after)
    described = add_progress(connection, *store, [to_record(row) for row in rows.items], now)
    return Page(add_duplicates(connection, *store, described), rows.has_more)


def attach_file(
    connection: Connection,
    attachment: AttachmentId,
    chunking: ChosenChunking,
    attributes: Attributes | None,
    attributes_seq: int,
    now: int,
) -> None:
    """Attach a file as `StoreFiles.attach` does.

    The caller has locked file and store. If there are attributes, it has advanced the store to `attributes_seq`.
    """
    existing = _find(connection, attachment)
    if isinstance(chunking, Inherited):
        chunking = store_chunking(connection, attachment) if existing is None else existing.chunking
    if existing is None:
        _insert(connection, attachment, chunking, now)
    elif existing.status in ("failed", "cancelled") or existing.chunking != chunking:
        restart(connection, attachment, {"chunking": chunking}, now)
    if attributes is not None:
        write_attributes(connection, attachment, attributes, attributes_seq)


def write_attributes(connection: Connection, attachment: AttachmentId, attributes: Attributes, seq: int) -> None:
    """Replace all attributes of the file as part of change `seq`, for which the caller has advanced the store."""
    _update(connection, attachment, {"attributes": dict(attributes), "attributes_seq": seq})


def rechunk(connection: Connection, attachment: AttachmentId, chunking: Chunking | None, now: int) -> None:
    """Ingest the file again if it has another chunking. The caller has locked the store. Raises NotFoundError."""
    if _get(connection, attachment).chunking != chunking:
        restart(connection, attachment, {"chunking": chunking}, now)


def restart(connection: Connection, attachment: AttachmentId, values: dict[str, Any], now: int) -> None:
    """Ingest the file again. Its old chunks stay searchable until then. `values` may have a new `chunking`."""
    # Replace the job, so that a worker with the old job cannot complete it.
    connection.execute(delete(jobs).where(is_attachment(jobs, attachment)))
    enqueue(connection, attachment, now)
    _update(connection, attachment, FRESH | (_chunking_values(values["chunking"]) if "chunking" in values else {}))


def cancel(connection: Connection, attachment: AttachmentId) -> None:
    """Cancel the file if it is in progress. Its searched chunks stay."""
    connection.execute(delete(jobs).where(is_attachment(jobs, attachment)))
    is_in_progress = and_(is_attachment(store_files, attachment), store_files.c.status == "in_progress")
    connection.execute(update(store_files).where(is_in_progress).values(status="cancelled"))


def lock_file(connection: Connection, tenant: str, file_id: str) -> None:
    """Lock the file against deletion until the transaction ends. Raises NotFoundError."""
    query = select(files.c.file_key).where(files.c.tenant == tenant, files.c.file_id == file_id)
    if connection.scalar(query.with_for_update(read=True, key_share=True)) is None:
        raise NotFoundError("file", file_id)


def detach_file(connection: Connection, attachment: AttachmentId, now: int) -> None:
    """Remove the file, its job and its chunks from the store in one change. Raises NotFoundError."""
    seq = advance(connection, attachment.tenant, attachment.vector_store_id, now)
    remove_chunks(connection, attachment, seq)
    connection.execute(delete(jobs).where(is_attachment(jobs, attachment)))
    record_events(connection, "document.deleted", is_attachment(store_files, attachment), now)
    if connection.execute(delete(store_files).where(is_attachment(store_files, attachment))).rowcount == 0:
        raise NotFoundError("vector store file", attachment.file_id)


def check_attributes(attributes: Attributes) -> None:
    """Raise InvalidRequestError for attributes beyond OpenAI's limits, and for values that SQL cannot store."""
    if len(attributes) > MAX_ATTRIBUTES:
        raise InvalidRequestError(
            f"the file has {len(attributes)} attributes; at most {MAX_ATTRIBUTES} are allowed", "attributes"
        )
    for key, value in attributes.items():
        if not 1 <= len(key) <= MAX_ATTRIBUTE_KEY_CHARS:
            problem = f"has a key of {len(key)} characters; 1 to {MAX_ATTRIBUTE_KEY_CHARS} are allowed"
        elif isinstance(value, str) and len(value) > MAX_ATTRIBUTE_VALUE_CHARS:
            problem = f"has {len(value)} characters; at most {MAX_ATTRIBUTE_VALUE_CHARS} are allowed"
        elif not is_storable(key) or (isinstance(value, str) and not is_storable(value)):
            problem = "has NUL characters or lone surrogates; remove them"
        elif isinstance(value, float) and not math.isfinite(value):
            problem = "is not a finite number"
        elif not isinstance(value, str | float | int):
            problem = "must be a string, a number or a boolean"
        else:
            continue
        raise InvalidRequestError(f"attribute {key[:MAX_ATTRIBUTE_KEY_CHARS]!r} {problem}", "attributes")


def check_store(connection: Connection, tenant: str, vector_store_id: str) -> None:
    """Raises NotFoundError."""
    query = select(vector_stores.c.store_key).where(is_store(vector_stores, tenant, vector_store_id))
    if vector_store_id != DEFAULT_VECTOR_STORE and connection.scalar(query) is None:
        raise NotFoundError("vector store", vector_store_id)


def _find(connection: Connection, attachment: AttachmentId) -> StoreFile | None:
    row = connection.execute(select(store_files).where(is_attachment(store_files, attachment))).first()
    return None if row is None else to_record(row)


def _get(connection: Connection, attachment: AttachmentId) -> StoreFile:
    store_file = _find(connection, attachment)
    if store_file is None:
        raise NotFoundError("vector store file", attachment.file_id)
    return store_file


def _insert(connection: Connection, attachment: AttachmentId, chunking: Chunking | None, now: int) -> None:
    row = vars(attachment) | _chunking_values(chunking)
    row |= {"status": "in_progress", "usage_bytes": 0, "created_at": now, "attributes": {}}
    connection.execute(insert(store_files).values(row))
    record_events(connection, "document.created", is_attachment(store_files, attachment), now)
    enqueue(connection, attachment, now)


def store_chunking(connection: Connection, attachment: AttachmentId) -> Chunking | None:
    """The chunking of files that are attached without one; None for auto."""
    query = select(vector_stores.c.chunking)
    stored = connection.scalar(query.where(is_store(vector_stores, attachment.tenant, attachment.vector_store_id)))
    return None if stored is None else Chunking.from_json(stored)


def _chunking_values(chunking: Chunking | None) -> dict[str, Any]:
    return {
        "chunking_max_tokens": chunking.max_tokens if chunking else None,
        "chunking_overlap_tokens": chunking.overlap_tokens if chunking else None,
        "chunking_strategy": chunking.strategy if chunking else None,
        "chunking_parameters": dict(chunking.parameters) if chunking else None,
    }


def _update(connection: Connection, attachment: AttachmentId, values: dict[str, Any]) -> None:
    connection.execute(update(store_files).where(is_attachment(store_files, attachment)).values(values))


def to_chunking(row: Row[Any]) -> Chunking | None:
    if row.chunking_max_tokens is None:
        return None
    parameters = tuple(sorted((row.chunking_parameters or {}).items()))
    sizes = row.chunking_max_tokens, row.chunking_overlap_tokens
    return Chunking(*sizes, row.chunking_strategy or "static", parameters)


def to_failure(row: Row[Any]) -> Failure | None:
    if row.status != "failed":
        return None
    return Failure(row.failure_reason or UNKNOWN_REASON, row.failed_attempts, row.failed_at)


def to_record(row: Row[Any]) -> StoreFile:
    return StoreFile(
        file_id=row.file_id,
        vector_store_id=row.vector_store_id,
        status=row.status,
        created_at=row.created_at,
        usage_bytes=row.usage_bytes,
        last_error_code=row.last_error_code,
        last_error_message=row.last_error_message,
        chunking=to_chunking(row),
        attributes=row.attributes,
        version=row.version,
        parse_report=None if row.parse_report is None else ParseReport.from_json(row.parse_report),
        failure=to_failure(row),
        derived=row.derived or {},
    )
