"""Uploaded files in object storage, or wherever fsspec can write: s3://bucket/folder."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from models.corpus.blobs import BlobStore, FolderBlobStore, digest_of, is_digest
from models.errors.requests import NotFoundError
from models.errors.storage import BlobsUnavailableError
from models.filesystem import has_protocol, open_filesystem, protocol_of

SETTING = "storage.blobs_url"
WHERE = "the storage of uploaded files"
# These show an object whole or not at all: a temporary name would only cost a copy.
ATOMIC_PUT = frozenset(["s3", "s3a", "gs", "gcs", "az", "abfs"])
INCOMING = ".incoming-"


def open_blobs(root: str | Path) -> BlobStore:
    """The blobs of a folder, or of a URL. Raises ConfigError for a URL that cannot be used."""
    if not has_protocol(str(root)):
        return FolderBlobStore(root)
    if protocol_of(str(root)) in ("file", "local"):
        return FolderBlobStore(open_filesystem(SETTING, str(root))[1])  # which calls fsync
    return RemoteBlobStore(str(root))


class RemoteBlobStore:
    """Keeps each blob in one object, root/ab/abcd…. A crash leaves at most an unused `.incoming-` object."""

    def __init__(self, url: str, setting: str = SETTING, where: str = WHERE) -> None:
        """Raises ConfigError, whose subject is `setting`. Errors call it `where`. Nothing is read or written yet."""
        self._typed_errors = partial(typed_client_errors, where)
        self._files, root = open_filesystem(setting, url)
        self._root = root.rstrip("/")
        self._is_atomic = protocol_of(url) in ATOMIC_PUT

    def put(self, content: bytes) -> str:
        digest = digest_of(content)
        with self._typed_errors():
            # An object of another size is what a storage without atomic writes left behind.
            if self._size(digest) != len(content):
                self._write(self._path(digest), content)
        return digest

    def get(self, digest: str) -> bytes:
        try:
            with self._typed_errors():
                content: bytes = self._files.cat_file(self._path(digest))
                return content
        except FileNotFoundError:
            raise NotFoundError("blob", digest) from None

    def delete(self, digest: str) -> None:
        with suppress(FileNotFoundError), self._typed_errors():
            self._files.rm_file(self._path(digest))

    def exists(self, digest: str) -> bool:
        with self._typed_errors():
            return self._size(digest) is not None

    def digests(self) -> set[str]:
        try:
            with self._typed_errors():
                names = {path.rpartition("/")[2] for path in self._files.find(self._root)}
        except FileNotFoundError:
            return set()
        return {name for name in names if is_digest(name)}

    def _path(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest}"

    def _size(self, digest: str) -> int | None:
        """None: no such blob. fsspec's own `exists` takes a lost connection for a missing file."""
        try:
            info: dict[str, Any] = self._files.info(self._path(digest))
        except FileNotFoundError:
            return None
        return None if info["type"] == "directory" else int(info["size"])

    def _write(self, path: str, content: bytes) -> None:
        """Write `content` to `path` whole or not at all. Raises the client's errors, OSError for a missing bucket."""
        try:
            self._write_whole(path, content)
        except FileNotFoundError as error:
            raise OSError(f"{self._root} cannot be written: {error}") from error

    def _write_whole(self, path: str, content: bytes) -> None:
        if self._is_atomic:
            self._files.pipe_file(path, content)
            return
        incoming = f"{self._root}/{INCOMING}{uuid.uuid4().hex}"
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        try:
            self._files.pipe_file(incoming, content)
            self._files.mv(incoming, path)
        except BaseException:
            with suppress(OSError):
                self._files.rm_file(incoming)
            raise


@contextmanager
def typed_client_errors(where: str = WHERE) -> Iterator[None]:
    """Turn whatever the client of the storage `where` raises into BlobsUnavailableError.

    A missing file stays FileNotFoundError, and one that must not exist FileExistsError.
    """
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except Exception as error:  # each client has errors of its own
        raise BlobsUnavailableError(f"{type(error).__name__}: {error}", where=where) from error
