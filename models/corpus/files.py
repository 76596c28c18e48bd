"""Uploaded files: a row, a blob, and the text that was extracted from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, delete, select

from models.corpus.blobs import BlobStore
from models.corpus.database import Database, insert_if_new, is_storable, lock_name
from models.corpus.ids import stable_id
from models.corpus.paging import fetch_page
from models.corpus.records import AttachmentId, File, Page, PageRequest
from models.corpus.schema import file_texts, files, store_files
from models.corpus.store_files import detach_file
from models.errors import ConflictError, InvalidRequestError, NotFoundError


@dataclass(frozen=True)
class Files:
    """Adds, lists and deletes files. Another tenant's files are as unknown as those that never were."""

    database: Database
    blobs: BlobStore
    clock: Callable[[], float]

    def add(self, tenant: str, filename: str, content: bytes, purpose: str = "assistants") -> File:
        """The file, on disk when this returns. The same name and content again: the same file, unchanged.

        Raises InvalidRequestError for a filename that cannot be stored.
        """
        _check_filename(filename)
        digest = self.blobs.put(content)
        file_id = stable_id("file-", tenant, filename, digest)
        row: dict[str, str | int] = {
            "tenant": tenant,
            "file_id": file_id,
            "filename": filename,
            "size_bytes": len(content),
            "purpose": purpose,
            "digest": digest,
            "created_at": int(self.clock()),
        }
        with self.database.writing() as connection:
            lock_name(connection, digest)
            if not self.blobs.exists(digest):
                # Between put and here the last file with this content was deleted, and its blob with it.
                self.blobs.put(content)
            insert_if_new(connection, files, row)
            return _to_record(_get(connection, tenant, file_id))

    def get(self, tenant: str, file_id: str) -> File:
        """Raises NotFoundError."""
        with self.database.reading() as connection:
            return _to_record(_get(connection, tenant, file_id))

    def page(self, tenant: str, request: PageRequest, purpose: str | None = None) -> Page[File]:
        """Files of one purpose or of all. Raises InvalidRequestError for an unknown `after`."""
        query = select(files).where(files.c.tenant == tenant)
        if purpose is not None:
            query = query.where(files.c.purpose == purpose)
        after = select(files.c.file_key).where(_is_file(files, tenant, request.after))
        with self.database.reading() as connection:
            rows = fetch_page(connection, query, files.c.file_key, request, after)
        return Page(tuple(_to_record(row) for row in rows.items), rows.has_more)

    def delete(self, tenant: str, file_id: str) -> None:
        """Forgets the file, in every vector store in the same moment. Raises NotFoundError."""
        with self.database.writing() as connection:
            row = _get(connection, tenant, file_id, for_update=True)
            for vector_store_id in _stores_with(connection, tenant, file_id):
                detach_file(connection, AttachmentId(tenant, vector_store_id, file_id), int(self.clock()))
            connection.execute(delete(files).where(_is_file(files, tenant, file_id)))
        self._delete_blob_if_unused(row.digest)

    def content(self, tenant: str, file_id: str) -> bytes:
        """What was uploaded. Raises NotFoundError."""
        with self.database.reading() as connection:
            digest = _get(connection, tenant, file_id).digest
        return self.blobs.get(digest)

    def text(self, tenant: str, file_id: str) -> str:
        """The text of the last completed ingestion. Raises NotFoundError, ConflictError before the first."""
        with self.database.reading() as connection:
            _get(connection, tenant, file_id)
            found = connection.scalar(select(file_texts.c.text).where(_is_file(file_texts, tenant, file_id)))
        if found is None:
            raise ConflictError(
                f"file {file_id!r} has no text yet; attach it to a vector store and wait until completed"
            )
        return found

    def _delete_blob_if_unused(self, digest: str) -> None:
        # In a transaction of its own, after the rows are gone for good; a crash before it leaves a blob nobody reads.
        with self.database.writing() as connection:
            lock_name(connection, digest)
            if connection.scalar(select(files.c.file_key).where(files.c.digest == digest).limit(1)) is None:
                self.blobs.delete(digest)


def _check_filename(filename: str) -> None:
    if not filename.strip() or not is_storable(filename):
        raise InvalidRequestError("the filename is empty or has characters that are not text", "filename")


def _is_file(table: Table, tenant: str, file_id: str | None) -> ColumnElement[bool]:
    return and_(table.c.tenant == tenant, table.c.file_id == file_id)


def _get(connection: Connection, tenant: str, file_id: str, for_update: bool = False) -> Row[Any]:
    query = select(files).where(_is_file(files, tenant, file_id))
    row = connection.execute(query.with_for_update() if for_update else query).first()
    if row is None:
        raise NotFoundError("file", file_id)
    return row


def _stores_with(connection: Connection, tenant: str, file_id: str) -> list[str]:
    """In order, so that two deletions lock the stores they share in the same order."""
    query = select(store_files.c.vector_store_id).where(_is_file(store_files, tenant, file_id))
    return sorted(connection.scalars(query))


def _to_record(row: Row[Any]) -> File:
    return File(row.file_id, row.tenant, row.filename, row.size_bytes, row.purpose, row.created_at)
