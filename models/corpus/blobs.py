"""Store the bytes of uploaded files by the hash of their content. A write is durable before it is acknowledged."""

import hashlib
import os
import string
import tempfile
from pathlib import Path
from typing import Protocol

from models.corpus.storage_errors import typed_disk_errors
from models.errors.requests import NotFoundError

DIGEST_CHARS = 64
DISK = "the disk of uploaded files"


class BlobStore(Protocol):
    """Bytes, keyed by the SHA-256 of their content as 64 hex digits.

    Storage that cannot be reached raises BlobsUnavailableError from every method, and a full disk StorageFullError.
    """

    def put(self, content: bytes) -> str:
        """Return the digest of `content`, which is durable when this returns. A second put changes nothing."""

    def get(self, digest: str) -> bytes:
        """Return the content. Raises NotFoundError."""

    def delete(self, digest: str) -> None:
        """Delete the content. An unknown digest is ignored."""

    def exists(self, digest: str) -> bool: ...

    def digests(self) -> set[str]:
        """The digests of all blobs. What a crash left half-written is ignored."""


def digest_of(content: bytes) -> str:
    """Return the SHA-256 as 64 hex digits: the key of `content` in every BlobStore."""
    return hashlib.sha256(content).hexdigest()


def is_digest(name: str) -> bool:
    """Whether this is the name of a blob."""
    return len(name) == DIGEST_CHARS and not set(name) - set(string.hexdigits)


class FolderBlobStore:
    """Keeps each blob in one file, root/ab/abcd…. A crash leaves at most an unused `.incoming-` file."""

    def __init__(self, root: str | Path, create: bool = True, disk: str = DISK) -> None:
        """`create` False: a folder that is only read, and may be missing. `disk` is its name in errors."""
        self.root, self._disk = Path(root), disk
        if create:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, content: bytes) -> str:
        digest = digest_of(content)
        path = self.path(digest)
        with typed_disk_errors(self._disk):
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                _write_then_rename(path, content)
            # Needed even if the file exists: another process may have renamed it and not called fsync yet.
            _fsync_folder(path.parent)
            _fsync_folder(self.root)
        return digest

    def get(self, digest: str) -> bytes:
        try:
            with typed_disk_errors(self._disk):
                return self.path(digest).read_bytes()
        except FileNotFoundError:
            raise NotFoundError("blob", digest) from None

    def delete(self, digest: str) -> None:
        with typed_disk_errors(self._disk):
            self.path(digest).unlink(missing_ok=True)

    def exists(self, digest: str) -> bool:
        return self.path(digest).exists()

    def digests(self) -> set[str]:
        return {path.name for path in self.root.glob("??/*") if is_digest(path.name)}

    def path(self, digest: str) -> Path:
        """The file of a blob, whether it exists or not."""
        return self.root / digest[:2] / digest


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
