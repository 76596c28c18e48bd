"""Uploaded files: a row, a blob, and the text that was extracted from it."""

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, delete, or_, select, update

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

        A file that has other content by now, or whose time has passed, is not the same.
        Raises InvalidRequestError for a filename that cannot be stored.
        """
        _check_filename(filename)
        digest = self.blobs.put(content)
        row: dict[str, str | int | None] = {
            "tenant": tenant,
            "filename": filename,
            "size_bytes": len(content),
            "purpose": purpose,
            "digest": digest,
            "created_at": int(self.clock()),
            "expires_at": expires_at,
        }
        with self.database.writing() as connection:
            self._lock_blob(connection, content, digest)
            same = and_(files.c.digest == digest, files.c.tenant == tenant, files.c.filename == filename)
            is_there = or_(files.c.expires_at.is_(None), files.c.expires_at > int(self.clock()))
            standing = connection.execute(select(files).where(same, is_there).order_by(files.c.file_key)).first()
            return _to_record(standing or _insert(connection, (tenant, filename, digest), row))

    def replace(self, tenant: str, file_id: str, content: bytes, filename: str | None = None) -> File:
        """The file's next version, durably; the same content again changes at most the name.

        In every vector store that has it, the version before is found until the new one is ingested. Raises
        NotFoundError, InvalidRequestError.
        """
        if filename is not None:
            _check_filename(filename)
        digest = self.blobs.put(content)
        try:
            before, replaced = self._replace(tenant, file_id, content, digest, filename)
        except NotFoundError:
            self._delete_blob_if_unused(digest)
            raise
        if before != digest:
            self._delete_blob_if_unused(before)
        return replaced

    def _replace(
        self, tenant: str, file_id: str, content: bytes, digest: str, filename: str | None
    ) -> tuple[str, File]:
        """The digest of the content before, and the file."""
        with self.database.writing() as connection:
            self._lock_blob(connection, content, digest)
            row = _get(connection, tenant, file_id, for_update=True)
            values: dict[str, str | int] = {"filename": filename or row.filename}
            if digest != row.digest:
                values |= {"digest": digest, "size_bytes": len(content), "version": row.version + 1}
            connection.execute(update(files).where(_is_file(files, tenant, file_id)).values(values))
            if digest != row.digest:
                for vector_store_id in _stores_with(connection, tenant, file_id):
                    lock_store(connection, tenant, vector_store_id, int(self.clock()))
                    restart(connection, AttachmentId(tenant, vector_store_id, file_id), {})
            return row.digest, _to_record(_get(connection, tenant, file_id))

    def _lock_blob(self, connection: Connection, content: bytes, digest: str) -> None:
        """Keeps the blob of `content`, which was put before, from being deleted until the transaction ends."""
        lock_name(connection, digest)
        if not self.blobs.exists(digest):
            # Between put and here the last file with this content was deleted, and its blob with it.
            self.blobs.put(content)

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
        version, digest = self._newest(tenant, file_id)
        while True:
            try:
                return self.blobs.get(digest)
            except NotFoundError:
                before, (version, digest) = version, self._newest(tenant, file_id)
                # Replaced since we looked, and its blob gone: the next one is there, or gone in the same way. By the
                # version, for the content may be the same as that of the version before the last.
                if version == before:
                    raise

    def _newest(self, tenant: str, file_id: str) -> tuple[int, str]:
        with self.database.reading() as connection:
            row = _get(connection, tenant, file_id)
        return row.version, row.digest

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


def _insert(connection: Connection, named: tuple[str, ...], row: dict[str, str | int | None]) -> Row[Any]:
    """The new file: its id is the hash of what it is `named` by, with a number where an older file has that one."""
    for number in itertools.count():
        file_id = stable_id("file-", *named, *([number] if number else []))
        if insert_if_new(connection, files, row | {"file_id": file_id}):
            break
    return _get(connection, named[0], file_id)


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
