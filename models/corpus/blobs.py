"""Store the bytes of uploaded files by the hash of their content. A write is durable before it is acknowledged."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Protocol

from models.errors import NotFoundError


class BlobStore(Protocol):
    """Bytes, keyed by the SHA-256 of their content as 64 hex digits."""

    def put(self, content: bytes) -> str:
        """Return the digest of `content`, which is on disk when this returns. A second put changes nothing."""

    def get(self, digest: str) -> bytes:
        """Return the content. Raises NotFoundError."""

    def delete(self, digest: str) -> None:
        """Delete the content. An unknown digest is ignored."""

    def exists(self, digest: str) -> bool: ...


def digest_of(content: bytes) -> str:
    """Return the SHA-256 as 64 hex digits: the key of `content` in every BlobStore."""
    return hashlib.sha256(content).hexdigest()


class FolderBlobStore:
    """Keeps each blob in one file, root/ab/abcd…. A crash leaves at most an unused `.incoming-` file."""

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root)
        self._root.mkdir(parents=True, exist_ok=True)

    def put(self, content: bytes) -> str:
        digest = digest_of(content)
        path = self._path(digest)
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            _write_then_rename(path, content)
        # Needed even if the file exists: another process may have renamed it and not called fsync yet.
        _fsync_folder(path.parent)
        _fsync_folder(self._root)
        return digest

    def get(self, digest: str) -> bytes:
        try:
            return self._path(digest).read_bytes()
        except FileNotFoundError:
            raise NotFoundError("blob", digest) from None

    def delete(self, digest: str) -> None:
        self._path(digest).unlink(missing_ok=True)

    def exists(self, digest: str) -> bool:
        return self._path(digest).exists()

    def _path(self, digest: str) -> Path:
        return self._root / digest[:2] / digest


def _write_then_rename(path: Path, content: bytes) -> None:
    """Write `content` to `path` whole or not at all: a rename within one folder is atomic."""
    descriptor, incoming = tempfile.mkstemp(prefix=".incoming-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(incoming, path)
    except OSError:
        Path(incoming).unlink(missing_ok=True)
        raise


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
