"""Copy uploaded files between blob folders. On the same disk, they are hard-linked instead.

A blob never changes once it has its name (FolderBlobStore), so two folders may share it.
"""

import errno
import os
import string
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from models.corpus.backup.manifest import Progress, fsync, sha256_of
from models.corpus.blobs import FolderBlobStore
from models.errors import ConfigError

NUM_THREADS = 4  # each has one file in memory; concurrent fsyncs share one write of the disk's journal
# Another disk; not permitted; not supported; too many links; access denied.
NO_LINK = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EACCES}
DIGEST_CHARS = 64


def blob_path(root: Path, digest: str) -> Path:
    return root / digest[:2] / digest


def list_digests(root: Path) -> set[str]:
    """List the digests of the blobs in the folder. Files that a crash left half-written are ignored."""
    names = {path.name for path in root.glob("??/*")}
    return {name for name in names if len(name) == DIGEST_CHARS and not set(name) - set(string.hexdigits)}


def place(digests: Collection[str], sources: Sequence[Path], target: Path, progress: Progress) -> list[str]:
    """Put blobs in `target` durably, each from the first source that has it. Return the digests that no source has.

    Blobs that `target` has already are left alone. Raises ConfigError for a blob that does not match its digest.
    """
    missing = []
    for folder in {blob_path(target, digest).parent for digest in digests}:
        folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        placed = pool.map(partial(_place, sources=sources, target=target), digests)
        for num_done, (digest, is_placed) in enumerate(zip(digests, placed, strict=True), 1):
            if not is_placed:
                missing.append(digest)
            progress("files", num_done, len(digests))
    for folder in (*{blob_path(target, digest).parent for digest in digests}, target):
        if folder.exists():
            fsync(folder)
    return missing


def check(digests: Collection[str], root: Path, progress: Progress) -> None:
    """Raise ConfigError if a blob is missing or does not match its digest."""
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for num_done, _ in enumerate(pool.map(partial(_check, root=root), digests), 1):
            progress("checking files", num_done, len(digests))


def _place(digest: str, sources: Sequence[Path], target: Path) -> bool:
    path = blob_path(target, digest)
    return path.exists() or any(_link_or_copy(root, digest, target) for root in sources)


def _link_or_copy(root: Path, digest: str, target: Path) -> bool:
    path = blob_path(target, digest)
    try:
        os.link(blob_path(root, digest), path)
    except FileNotFoundError:
        return False
    except FileExistsError:
        return True
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        return _copy(root, digest, target)
    fsync(path)
    return True


def _copy(root: Path, digest: str, target: Path) -> bool:
    try:
        content = blob_path(root, digest).read_bytes()
    except FileNotFoundError:
        return False
    if FolderBlobStore(target).put(content) != digest:
        raise ConfigError(str(blob_path(root, digest)), "is damaged: its content does not match the digest in its name")
    return True


def _check(digest: str, root: Path) -> None:
    path = blob_path(root, digest)
    if not path.exists():
        raise ConfigError(str(root.parent), f"is damaged: the uploaded file {digest} is missing")
    if sha256_of(path) != digest:
        raise ConfigError(str(path), "is damaged: its content does not match the digest in its name")
