"""Uploaded files: a row, a blob, and the text that was extracted from it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, delete, select, update

from models.corpus.blobs import BlobStore
from models.corpus.database import Database, insert_if_new, is_storable, lock_name
from models.corpus.ids import stable_id
from models.corpus.paging import fetch_page
from models.corpus.records import AttachmentId, File, Page, PageRequest
from models.corpus.schema import file_texts, files, store_files
from models.corpus.store_files import detach_file, restart
from models.corpus.vector_stores import lock_store
from models.errors import ConflictError, InvalidRequestError, NotFoundError


@dataclass(frozen=True)
class Files:
    """Adds, lists and deletes files. Another tenant's files are as unknown as those that never were."""

    database: Database
    blobs: BlobStore
    clock: Callable[[], float]

    def add(
        self,
        tenant: str,
        filename: str,
        content: bytes,
        purpose: str = "assistants",
        expires_at: int | None = None,
    ) -> File:
        """The file, on disk when this returns. The same name and content again: the same file, unchanged.

        Raises InvalidRequestError for a filename that cannot be stored.
        """
        _check_filename(filename)
        digest = self.blobs.put(content)
        file_id = stable_id("file-", tenant, filename, digest)
        row: dict[str, str | int | None] = {
            "tenant": tenant,
            "file_id": file_id,
            "filename": filename,
            "size_bytes": len(content),
            "purpose": purpose,
            "digest": digest,
            "created_at": int(self.clock()),
            "expires_at": expires_at,
        }
        with self.database.writing() as connection:
            lock_name(connection, digest)
            if not self.blobs.exists(digest):
                # Between put and here the last file with this content was deleted, and its blob with it.
                self.blobs.put(content)
            insert_if_new(connection, files, row)
            return _to_record(_get(connection, tenant, file_id))

    def replace(self, tenant: str, file_id: str, content: bytes, filename: str | None = None) -> File:
        """The file's next version, durably; the same content again changes nothing.

        In every vector store that has it, the version before is found until the new one is ingested. Raises
        NotFoundError, InvalidRequestError.
        """
        if filename is not None:
            _check_filename(filename)
        digest = self.blobs.put(content)
        with self.database.writing() as connection:
            lock_name(connection, digest)
            if not self.blobs.exists(digest):
                self.blobs.put(content)
            row = _get(connection, tenant, file_id, for_update=True)
            values = {"filename": filename or row.filename}
            if digest != row.digest:
                values |= {"digest": digest, "size_bytes": len(content), "version": row.version + 1}
            connection.execute(update(files).where(_is_file(files, tenant, file_id)).values(values))
            if digest != row.digest:
                for vector_store_id in _stores_with(connection, tenant, file_id):
                    lock_store(connection, tenant, vector_store_id, int(self.clock()))
                    restart(connection, AttachmentId(tenant, vector_store_id, file_id), {})
            replaced = _to_record(_get(connection, tenant, file_id))
        if digest != row.digest:
            self._delete_blob_if_unused(row.digest)
        return replaced

    def get(self, tenant: str, file_id: str) -> File:
        """Raises NotFoundError."""
        with self.database.reading() as connection:
            return _to_record(_get(connection, tenant, file_id))

    def page(
        self, tenant: str, request: PageRequest, purpose: str | None = None, filename: str | None = None
    ) -> Page[File]:
        """Files of one purpose, or name, or all. Raises InvalidRequestError for an unknown `after`."""
        query = select(files).where(files.c.tenant == tenant)
        if purpose is not None:
            query = query.where(files.c.purpose == purpose)
        if filename is not None:
            query = query.where(files.c.filename == filename)
        after = select(files.c.file_key).where(_is_file(files, tenant, request.cursor))
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

    def delete_expired(self) -> int:
        """Deletes the files whose time has passed, of every tenant; how many they were."""
        is_due = and_(files.c.expires_at.is_not(None), files.c.expires_at <= int(self.clock()))
        with self.database.reading() as connection:
            due = connection.execute(select(files.c.tenant, files.c.file_id).where(is_due)).all()
        for tenant, file_id in due:
            with suppress(NotFoundError):
                self.delete(tenant, file_id)
        return len(due)

    def content(self, tenant: str, file_id: str) -> bytes:
        """What was uploaded last. Raises NotFoundError."""
        with self.database.reading() as connection:
            digest = _get(connection, tenant, file_id).digest
        return self.blobs.get(digest)

    def text(self, tenant: str, file_id: str) -> str:
        """The text of the newest version that was ingested. Raises NotFoundError, ConflictError before the first."""
        with self.database.reading() as connection:
            _get(connection, tenant, file_id)
            of_file = select(file_texts.c.text).where(_is_file(file_texts, tenant, file_id))
            found = connection.scalar(of_file.order_by(file_texts.c.version.desc()).limit(1))
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
    return File(
        file_id=row.file_id,
        tenant=row.tenant,
        filename=row.filename,
        size_bytes=row.size_bytes,
        purpose=row.purpose,
        created_at=row.created_at,
        version=row.version,
        expires_at=row.expires_at,
    )
