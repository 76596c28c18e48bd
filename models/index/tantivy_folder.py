"""Private folders of keyword indexes. They are on disk for quick snapshots, and deleted with their process."""

import atexit
import fcntl
import os
import shutil
import tempfile
import weakref
from functools import cache
from pathlib import Path

PREFIX = "ragserve-words-"


def private_folder(owner: object) -> Path:
    """Create a folder that is deleted when `owner` is garbage-collected."""
    folder = Path(tempfile.mkdtemp(dir=_process_folder()))
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder


def link_files(source: Path, target: Path) -> None:
    """Link the files of one folder into another. Tantivy never changes a file, so a hard link is safe."""
    for file in source.iterdir():
        if file.suffix == ".lock":
            continue
        try:
            os.link(file, target / file.name)
        except OSError:  # another file system, or no support for links
            shutil.copyfile(file, target / file.name)


def sweep(parent: Path) -> None:
    """Delete the folders in `parent` whose process was killed: their lock is free."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:  # another user's, or deleted just now
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


@cache
def _process_folder() -> Path:
    parent = Path(tempfile.gettempdir())
    sweep(parent)
    new = Path(tempfile.mkdtemp(prefix=f"new-{PREFIX}"))
    # The lock lasts until the process ends in any way. The folder is renamed after locking, so no sweep deletes it.
    fcntl.flock(os.open(new, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_EX)
    folder = new.rename(parent / new.name.removeprefix("new-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
