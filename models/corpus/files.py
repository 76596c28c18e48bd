"""Uploaded files: a row, a blob, and the text that was extracted from the blob."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, delete, func, or_, select, update

from models.corpus.blobs import BlobStore
from models.corpus.database import Database, insert_if_new, is_storable, lock_name
from models.corpus.file_versions import (
    bytes_of_versions,
    earlier_versions,
    get_version,
    is_used,
    keep_version,
    trim_versions,
)
from models.corpus.ids import stable_id
from models.corpus.paging import fetch_page
from models.corpus.records import AttachmentId, File, FileVersion, Page, PageRequest
from models.corpus.schema import files, store_files
from models.corpus.store_files import detach_file, restart
from models.corpus.texts import read_text
from models.corpus.vector_stores import lock_store
from models.errors.requests import ConflictError, InvalidRequestError, NotFoundError
from models.errors.storage import STORAGE_ERRORS, StorageFullError

MAX_LEFTOVERS = 10_000


@dataclass(frozen=True)
class Files:
    """Adds, lists and deletes files. Another tenant's file counts as not found."""

    database: Database
    blobs: BlobStore
    clock: Callable[[], float]
    keep_versions: int = field(default=0, kw_only=True)  # earlier ones of each file
    # Digests of content that may be unused, which the storage did not let this process delete.
    leftovers: set[str] = field(default_factory=set, kw_only=True, compare=False, repr=False)

    def add(
        self,
        tenant: str,
        filename: str,
        content: bytes,
        purpose: str = "assistants",
        expires_at: int | None = None,
    ) -> File:
        """Store the file durably. If an unexpired file has this name and content, return that file unchanged.

        A caller who may not attach that file gets one of their own.

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
        with self._keeping_room(digest), self.database.writing() as connection:
            self._lock_blob(connection, content, digest)
            is_same = and_(files.c.digest == digest, files.c.tenant == tenant, files.c.filename == filename)
            is_unexpired = or_(files.c.expires_at.is_(None), files.c.expires_at > int(self.clock()))
            query = select(files).where(is_same, is_unexpired).order_by(files.c.file_key)
            same = connection.execute(query).all()
            existing = next((each for each in same if self._may_reuse(connection, tenant, each.file_id)), None)
            return _to_record(existing or _insert(connection, (tenant, filename, digest), row))

    def _may_reuse(self, connection: Connection, tenant: str, file_id: str) -> bool:
        """Whether an upload of the same name and content returns this file."""
        return True

    def replace(self, tenant: str, file_id: str, content: bytes, filename: str | None = None) -> File:
        """Store a new version of the file durably. If the content is the same, change at most the name.

        In every vector store with the file, searches return the old version until the new one is ingested. Raises
        NotFoundError, InvalidRequestError.
        """
        if filename is not None:
            _check_filename(filename)
        digest = self.blobs.put(content)
        try:
            with self._keeping_room(digest), self.database.writing() as connection:
                self._lock_blob(connection, content, digest)
                row = _get(connection, tenant, file_id, for_update=True)
                unused = self._replace(connection, row, _Content(digest, len(content), filename or row.filename))
                file = _to_record(_get(connection, tenant, file_id))
        except NotFoundError:
            self._delete_unused_blobs([digest])
            raise
        self._delete_unused_blobs(unused)
        return file

    def restore(self, tenant: str, file_id: str, version: int) -> File:
        """Make the name and the content of an earlier version the file's next version, as `replace` does.

        Raises NotFoundError for a version that is not kept, and for the newest.
        """
        with self.database.writing() as connection:
            _get(connection, tenant, file_id)
            earlier = get_version(connection, tenant, file_id, version)
            # In the order of `replace`: first the blob, then the row. Meanwhile it may have been deleted.
            lock_name(connection, earlier.sha256)
            row = _get(connection, tenant, file_id, for_update=True)
            get_version(connection, tenant, file_id, version)
            content = _Content(earlier.sha256, earlier.size_bytes, earlier.filename)
            unused = self._replace(connection, row, content)
            file = _to_record(_get(connection, tenant, file_id))
        self._delete_unused_blobs(unused)
        return file

    def _replace(self, connection: Connection, row: Row[Any], content: "_Content") -> list[str]:
        """Replace the file's row. Return the digests of contents that it has no more."""
        is_new, num_changes = content.digest != row.digest, int(content.filename != row.filename)
        now, unused = int(self.clock()), list[str]()
        values: dict[str, str | int] = {"filename": content.filename}
        if is_new:
            values |= {"digest": content.digest, "size_bytes": content.size_bytes, "version": row.version + 1}
            unused = [row.digest, *keep_version(connection, row, now, self.keep_versions)]
        connection.execute(update(files).where(_is_file(files, row.tenant, row.file_id)).values(values))
        # Passages show the name, so a new one is a change of every store with the file.
        if is_new or num_changes:
            for vector_store_id in stores_with(connection, row.tenant, row.file_id):
                lock_store(connection, row.tenant, vector_store_id, now, num_changes)
                if is_new:
                    restart(connection, AttachmentId(row.tenant, vector_store_id, row.file_id), {}, now)
        return unused

    @contextmanager
    def _keeping_room(self, digest: str) -> Iterator[None]:
        """Delete the blob again if the database refuses its row: a refused upload must not fill the disk.

        A full database lets it be deleted now, and one that is locked or gone later: see `delete_leftovers`.
        """
        try:
            yield
        except StorageFullError:
            self._delete_unused_blobs([digest])
            raise
        except STORAGE_ERRORS:
            self._leave(digest)
            raise

    def _lock_blob(self, connection: Connection, content: bytes, digest: str) -> None:
        """Keep the blob of `content` from being deleted until the transaction ends. The caller has put it already."""
        lock_name(connection, digest)
        if not self.blobs.exists(digest):
            # Since then, the last file with this content was deleted together with its blob.
            self.blobs.put(content)

    def usage(self, tenant: str) -> tuple[int, int]:
        """The tenant's files, and the bytes of all their versions."""
        query = select(func.count(), func.coalesce(func.sum(files.c.size_bytes), 0)).where(files.c.tenant == tenant)
        with self.database.reading() as connection:
            num_files, num_bytes = connection.execute(query).one()
            num_bytes += bytes_of_versions(connection, tenant)
        return int(num_files), int(num_bytes)

    def get(self, tenant: str, file_id: str) -> File:
        """Raises NotFoundError."""
        with self.database.reading() as connection:
            return _to_record(_get(connection, tenant, file_id))

    def page(
        self, tenant: str, request: PageRequest, purpose: str | None = None, filename: str | None = None
    ) -> Page[File]:
        """Return a page of files, of one purpose or name if set. Raises InvalidRequestError for an unknown cursor."""
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
        """Delete the file, and remove it from every vector store, in one transaction. Raises NotFoundError."""
        with self.database.deleting() as connection:
            row = _get(connection, tenant, file_id, for_update=True)
            for vector_store_id in stores_with(connection, tenant, file_id):
                detach_file(connection, AttachmentId(tenant, vector_store_id, file_id), int(self.clock()))
            earlier = earlier_versions(connection, tenant, file_id)
            connection.execute(delete(files).where(_is_file(files, tenant, file_id)))
        self._delete_unused_blobs([row.digest, *(version.sha256 for version in earlier)])

    def delete_expired(self) -> int:
        """Delete the expired files of every tenant. Return their number."""
        is_expired = and_(files.c.expires_at.is_not(None), files.c.expires_at <= int(self.clock()))
        with self.database.reading() as connection:
            expired = connection.execute(select(files.c.tenant, files.c.file_id).where(is_expired)).all()
        for tenant, file_id in expired:
            with suppress(NotFoundError):
                self.delete(tenant, file_id)
        return len(expired)

    def content(self, tenant: str, file_id: str) -> bytes:
        """Return the newest version's content. Raises NotFoundError."""
        version, digest = self._newest(tenant, file_id)
        while True:
            try:
                return self.blobs.get(digest)
            except NotFoundError:
                old_version, (version, digest) = version, self._newest(tenant, file_id)
                # A replacement since our read deleted the blob: try the newer version. Compare versions, not digests,
                # because a later version may have the same content as an earlier one.
                if version == old_version:
                    raise

    def _newest(self, tenant: str, file_id: str) -> tuple[int, str]:
        with self.database.reading() as connection:
            row = _get(connection, tenant, file_id)
        return row.version, row.digest

    def versions(self, tenant: str, file_id: str) -> list[FileVersion]:
        """The newest version, then the earlier ones that are kept. Raises NotFoundError."""
        with self.database.reading() as connection:
            row = _get(connection, tenant, file_id)
            newest = FileVersion(row.version, row.filename, row.size_bytes, row.digest)
            return [newest, *earlier_versions(connection, tenant, file_id)]

    def earlier_version(self, tenant: str, file_id: str, version: int) -> FileVersion:
        """Raises NotFoundError for a version that is not kept, and for the newest."""
        with self.database.reading() as connection:
            _get(connection, tenant, file_id)
            return get_version(connection, tenant, file_id, version)

    def version_content(self, tenant: str, file_id: str, version: int) -> bytes:
        """Return the content of a version, also of the newest. Raises NotFoundError."""
        for each in self.versions(tenant, file_id):
            if each.version == version:
                return self.blobs.get(each.sha256)
        raise NotFoundError("version", str(version))

    def trim_versions(self) -> None:
        """Delete the earlier versions of all files that are not kept: the number of them may have been lowered."""
        with self.database.deleting() as connection:
            digests = trim_versions(connection, self.keep_versions)
        self._delete_unused_blobs(digests)

    def text(self, tenant: str, file_id: str, vector_store_id: str | None = None) -> str:
        """Return the text of the newest ingested version, or of the version that a vector store searches.

        Without a store, it has no personal data if any store masks them in this file. Raises NotFoundError,
        ConflictError if there is none yet.
        """
        with self.database.reading() as connection:
            _get(connection, tenant, file_id)
            text = read_text(connection, tenant, file_id, vector_store_id)
        if text is None:
            raise ConflictError(
                f"file {file_id!r} has no text yet; attach it to a vector store and wait until its status is completed"
            )
        return text

    def _delete_blob_if_unused(self, digest: str) -> None:
        # In its own transaction, after the rows are deleted durably. A crash before it leaves an unused blob.
        with self.database.deleting() as connection:
            lock_name(connection, digest)
            if not is_used(connection, digest):
                self.blobs.delete(digest)

    def _delete_unused_blobs(self, digests: Iterable[str]) -> None:
        """The rows are gone already, so a storage that lets nothing be deleted now is no error."""
        for digest in dict.fromkeys(digests):
            try:
                self._delete_blob_if_unused(digest)
            except STORAGE_ERRORS:
                self._leave(digest)

    def _leave(self, digest: str) -> None:
        if len(self.leftovers) < MAX_LEFTOVERS:
            self.leftovers.add(digest)

    def delete_leftovers(self) -> None:
        """Delete the content that refused uploads and deletions of this process left, as far as the storage lets it."""
        digests = list(self.leftovers)
        self.leftovers.difference_update(digests)
        self._delete_unused_blobs(digests)


@dataclass(frozen=True)
class _Content:
    """What a version of a file has."""

    digest: str
    size_bytes: int
    filename: str


def _check_filename(filename: str) -> None:
    if not filename.strip() or not is_storable(filename):
        raise InvalidRequestError("the filename is empty, or has NUL characters or lone surrogates", "filename")


def _insert(connection: Connection, identity: tuple[str, ...], row: dict[str, str | int | None]) -> Row[Any]:
    """Insert a file. Its id is the hash of `identity`, and of a number if an older file has that id."""
    for number in itertools.count():
        file_id = stable_id("file-", *identity, *([number] if number else []))
        if insert_if_new(connection, files, row | {"file_id": file_id}):
            break
    return _get(connection, identity[0], file_id)


def _is_file(table: Table, tenant: str, file_id: str | None) -> ColumnElement[bool]:
    return and_(table.c.tenant == tenant, table.c.file_id == file_id)


def _get(connection: Connection, tenant: str, file_id: str, for_update: bool = False) -> Row[Any]:
    query = select(files).where(_is_file(files, tenant, file_id))
    row = connection.execute(query.with_for_update() if for_update else query).first()
    if row is None:
        raise NotFoundError("file", file_id)
    return row


def stores_with(connection: Connection, tenant: str, file_id: str) -> list[str]:
    """List the stores with the file, sorted: two deletions then lock their common stores in the same order."""
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
        sha256=row.digest,
    )
