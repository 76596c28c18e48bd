"""Dead letters: the files of vector stores whose ingestion failed for good. They can be listed, and ingested again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, select

from models.corpus.chunks import is_attachment
from models.corpus.database import Database
from models.corpus.failures import UNKNOWN_REASON
from models.corpus.paging import fetch_page
from models.corpus.records import AttachmentId, Page, PageRequest
from models.corpus.schema import files, store_files, vector_stores
from models.corpus.store_files import lock_file, restart, to_failure
from models.corpus.vector_stores import is_store, lock_unexpired
from models.errors.requests import ConflictError, InvalidRequestError, NotFoundError
from models.types.scope import DEFAULT_VECTOR_STORE

ID_PREFIX = "dl_"
REPLAY_STEP = 200  # files of one transaction, during which no other process can write


@dataclass(frozen=True)
class DeadLetter:
    """A file that failed for good. `code` and `message` are those of its `last_error`."""

    dead_letter_id: str
    vector_store_id: str
    file_id: str
    filename: str
    reason: str
    code: str
    message: str
    num_attempts: int
    failed_at: int | None


@dataclass(frozen=True)
class Selection:
    """Which dead letters of a tenant. A field that is None selects all."""

    dead_letter_id: str | None = None
    vector_store_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class DeadLetters:
    """Lists and replays the dead letters of one tenant. Another tenant's counts as not found."""

    database: Database
    clock: Callable[[], float]

    def page(self, tenant: str, selection: Selection, request: PageRequest) -> Page[DeadLetter]:
        """Return a page of dead letters, the latest file first.

        Raises NotFoundError for an unknown store, InvalidRequestError for an unknown cursor.
        """
        after = select(store_files.c.store_file_key).where(
            store_files.c.tenant == tenant, store_files.c.store_file_key == _key_of(request.cursor or ID_PREFIX)
        )
        with self.database.reading() as connection:
            _check_store(connection, tenant, selection.vector_store_id)
            query = _select(tenant, selection)
            rows = fetch_page(connection, query, store_files.c.store_file_key, request, after)
        return Page(tuple(_to_record(row) for row in rows.items), rows.has_more)

    def replay(self, tenant: str, selection: Selection) -> int:
        """Ingest the selected files again, and return how many. A file that is no dead letter any more is left alone.

        So a second replay does nothing. Searches return the old chunks of a file until it is completed. Raises
        InvalidRequestError for an empty selection, NotFoundError for an unknown id or store.
        """
        if selection == Selection():
            raise InvalidRequestError("choose the dead letters: set id, vector_store_id or reason")
        with self.database.reading() as connection:
            _check_store(connection, tenant, selection.vector_store_id)
            _check_letter(connection, tenant, selection.dead_letter_id)
        num_replayed, after_key = 0, 0
        while step := self._next(tenant, selection, after_key):
            num_replayed += self._replay(step)
            after_key = step[-1].store_file_key
        return num_replayed

    def counts(self) -> dict[str, int]:
        """Count the dead letters of all tenants by reason."""
        reason = func.coalesce(store_files.c.failure_reason, UNKNOWN_REASON)
        query = select(reason, func.count()).where(store_files.c.status == "failed").group_by(reason)
        with self.database.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def _next(self, tenant: str, selection: Selection, after_key: int) -> list[Row[Any]]:
        key = store_files.c.store_file_key
        query = _select(tenant, selection).where(key > after_key).order_by(key).limit(REPLAY_STEP)
        with self.database.reading() as connection:
            return list(connection.execute(query))

    def _replay(self, rows: list[Row[Any]]) -> int:
        """Restart the files that are still dead letters. Every writer locks files first, then stores, both sorted."""
        attachments = [AttachmentId(row.tenant, row.vector_store_id, row.file_id) for row in rows]
        now = int(self.clock())
        with self.database.writing() as connection:
            existing = [item for item in sorted(attachments, key=_by_file) if _lock_file(connection, item)]
            waiting = [item for item in sorted(existing, key=_by_store) if _lock_failed(connection, item, now)]
            for attachment in waiting:
                restart(connection, attachment, {}, now)
        return len(waiting)


def _check_store(connection: Connection, tenant: str, vector_store_id: str | None) -> None:
    """Raise NotFoundError for an unknown store. A tenant's `default` may have no row yet."""
    if vector_store_id in (None, DEFAULT_VECTOR_STORE):
        return
    query = select(vector_stores.c.store_key).where(is_store(vector_stores, tenant, vector_store_id))
    if connection.scalar(query) is None:
        raise NotFoundError("vector store", str(vector_store_id))


def _check_letter(connection: Connection, tenant: str, dead_letter_id: str | None) -> None:
    """Raise NotFoundError for the id of no file. A file that was replayed keeps its id."""
    if dead_letter_id is None:
        return
    columns = store_files.c
    is_letter = and_(columns.tenant == tenant, columns.store_file_key == _key_of(dead_letter_id))
    if connection.scalar(select(columns.store_file_key).where(is_letter)) is None:
        raise NotFoundError("dead letter", dead_letter_id)


def _by_file(attachment: AttachmentId) -> str:
    return attachment.file_id


def _by_store(attachment: AttachmentId) -> tuple[str, str]:
    return attachment.vector_store_id, attachment.file_id


def _lock_file(connection: Connection, attachment: AttachmentId) -> bool:
    """False if the file was deleted since it was read."""
    try:
        lock_file(connection, attachment.tenant, attachment.file_id)
    except NotFoundError:
        return False
    return True


def _lock_failed(connection: Connection, attachment: AttachmentId, now: int) -> bool:
    """Lock the store. False if it was deleted or has expired, or the file is no dead letter any more."""
    try:
        lock_unexpired(connection, attachment.tenant, attachment.vector_store_id, now)
    except (NotFoundError, ConflictError):
        return False
    status = select(store_files.c.status).where(is_attachment(store_files, attachment))
    return connection.scalar(status) == "failed"


def _select(tenant: str, selection: Selection) -> Select[Any]:
    columns = store_files.c
    is_file = and_(files.c.tenant == columns.tenant, files.c.file_id == columns.file_id)
    conditions: list[ColumnElement[bool]] = [columns.tenant == tenant, columns.status == "failed"]
    if selection.dead_letter_id is not None:
        conditions.append(columns.store_file_key == _key_of(selection.dead_letter_id))
    if selection.vector_store_id is not None:
        conditions.append(columns.vector_store_id == selection.vector_store_id)
    if selection.reason is not None:
        conditions.append(func.coalesce(columns.failure_reason, UNKNOWN_REASON) == selection.reason)
    query: Select[Any] = select(store_files, files.c.filename).join(files, is_file)
    return query.where(*conditions)


def _key_of(dead_letter_id: str) -> int:
    """The key in an id; 0, which no file has, for anything else."""
    digits = dead_letter_id.removeprefix(ID_PREFIX)
    is_valid = dead_letter_id.startswith(ID_PREFIX) and digits.isascii() and digits.isdigit() and len(digits) <= 18
    return int(digits) if is_valid else 0


def _to_record(row: Row[Any]) -> DeadLetter:
    failure = to_failure(row)
    assert failure is not None  # its status is failed
    return DeadLetter(
        dead_letter_id=f"{ID_PREFIX}{row.store_file_key}",
        vector_store_id=row.vector_store_id,
        file_id=row.file_id,
        filename=row.filename,
        reason=failure.reason,
        code=row.last_error_code,
        message=row.last_error_message,
        num_attempts=failure.num_attempts,
        failed_at=failure.failed_at,
    )
