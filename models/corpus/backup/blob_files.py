"""Uploaded files from one folder of blobs to another: linked where one disk has both, else copied.

A blob is never changed once it has its name (FolderBlobStore), so two folders may share it.
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

NUM_THREADS = 4  # each holds one file in memory; syncs of several are one write of the disk's journal
# Another disk; no links there; not our file; too many links.
NO_LINK = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EACCES}
DIGEST_CHARS = 64


def blob_path(root: Path, digest: str) -> Path:
    return root / digest[:2] / digest


def list_digests(root: Path) -> set[str]:
    """Of every blob in the folder; what a crash left half-written is none."""
    names = {path.name for path in root.glob("??/*")}
    return {name for name in names if len(name) == DIGEST_CHARS and not set(name) - set(string.hexdigits)}


def place(digests: Collection[str], sources: Sequence[Path], target: Path, progress: Progress) -> list[str]:
    """Puts blobs in `target`, durably, from the first of `sources` that has each; those that none has.

    What is there already stays. Raises ConfigError for a blob whose content is not what its name says.
    """
    missing = []
    for folder in {blob_path(target, digest).parent for digest in digests}:
        folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        placed = pool.map(partial(_place, sources=sources, target=target), digests)
        for done, (digest, is_there) in enumerate(zip(digests, placed, strict=True), 1):
            if not is_there:
                missing.append(digest)
            progress("files", done, len(digests))
    for folder in (*{blob_path(target, digest).parent for digest in digests}, target):
        if folder.exists():
            fsync(folder)
    return missing


def check(digests: Collection[str], root: Path, progress: Progress) -> None:
    """Raises ConfigError if one is missing or its content is not what its name says."""
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for done, _ in enumerate(pool.map(partial(_check, root=root), digests), 1):
            progress("checking files", done, len(digests))


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
        raise ConfigError(str(blob_path(root, digest)), "is damaged: its content is not what its name says")
    return True


def _check(digest: str, root: Path) -> None:
    path = blob_path(root, digest)
    if not path.exists():
        raise ConfigError(str(root.parent), f"is damaged: the uploaded file {digest} is missing")
    if sha256_of(path) != digest:
        raise ConfigError(str(path), "is damaged: its content is not what its name says")
