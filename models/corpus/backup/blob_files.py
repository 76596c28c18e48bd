"""Copy uploaded files between stores of blobs. Between folders on the same disk, they are hard-linked instead.

A blob never changes once it has its name (BlobStore), so two folders may share it.
"""

import errno
import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from models.corpus.backup.manifest import Progress, fsync, sha256_of
from models.corpus.blobs import BlobStore, FolderBlobStore
from models.errors.configuration import ConfigError
from models.errors.requests import NotFoundError

NUM_THREADS = 4  # each has one file in memory; concurrent fsyncs share one write of the disk's journal
# Another disk; not permitted; not supported; too many links; access denied.
NO_LINK = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EACCES}


def blob_path(root: Path, digest: str) -> Path:
    return FolderBlobStore(root, create=False).path(digest)


def list_digests(root: Path) -> set[str]:
    """List the digests of the blobs in the folder. Files that a crash left half-written are ignored."""
    return FolderBlobStore(root, create=False).digests()


def place(digests: Collection[str], sources: Sequence[BlobStore], target: BlobStore, progress: Progress) -> list[str]:
    """Put blobs in `target` durably, each from the first source that has it. Return the digests that no source has.

    Blobs that `target` has already are left alone. Raises ConfigError for a blob that does not match its digest.
    """
    missing = []
    folders = _folders(digests, target)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        placed = pool.map(partial(_place, sources=sources, target=target), digests)
        for num_done, (digest, is_placed) in enumerate(zip(digests, placed, strict=True), 1):
            if not is_placed:
                missing.append(digest)
            progress("files", num_done, len(digests))
    for folder in folders:
        fsync(folder)
    return missing


def _folders(digests: Collection[str], target: BlobStore) -> list[Path]:
    """The folders that links are made in, the outermost last. None in object storage."""
    if not isinstance(target, FolderBlobStore):
        return []
    return [*{target.path(digest).parent for digest in digests}, target.root]


def check(digests: Collection[str], root: Path, progress: Progress) -> None:
    """Raise ConfigError if a blob is missing or does not match its digest."""
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for num_done, _ in enumerate(pool.map(partial(_check, root=root), digests), 1):
            progress("checking files", num_done, len(digests))


def _place(digest: str, sources: Sequence[BlobStore], target: BlobStore) -> bool:
    return target.exists(digest) or any(_link_or_copy(source, digest, target) for source in sources)


def _link_or_copy(source: BlobStore, digest: str, target: BlobStore) -> bool:
    if not (isinstance(source, FolderBlobStore) and isinstance(target, FolderBlobStore)):
        return _copy(source, digest, target)
    path = target.path(digest)
    try:
        os.link(source.path(digest), path)
    except FileNotFoundError:
        return False
    except FileExistsError:
        return True
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        return _copy(source, digest, target)
    fsync(path)
    return True


def _copy(source: BlobStore, digest: str, target: BlobStore) -> bool:
    try:
        content = source.get(digest)
    except NotFoundError:
        return False
    if target.put(content) != digest:
        raise ConfigError(f"uploaded file {digest}", "is damaged: its content does not match the digest in its name")
    return True


def _check(digest: str, root: Path) -> None:
    path = blob_path(root, digest)
    if not path.exists():
        raise ConfigError(str(root.parent), f"is damaged: the uploaded file {digest} is missing")
    if sha256_of(path) != digest:
        raise ConfigError(str(path), "is damaged: its content does not match the digest in its name")
