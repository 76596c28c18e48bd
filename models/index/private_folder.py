"""Private folders of indexes. They are on disk for quick snapshots, and deleted with their process."""

import atexit
import fcntl
import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from functools import cache
from pathlib import Path

PREFIX, LOCK_FILE = "ragserve-index-", "lock"


def private_folder(owner: object, parent: Path | None = None) -> Path:
    """Create a folder that is deleted when `owner` is garbage-collected.

    It is below `parent`, by default in the folder of temporary files. Hard links need the snapshots' file system.
    """
    parent = parent or Path(tempfile.gettempdir())
    if not _process_folder(parent).is_dir():  # somebody deleted it
        _process_folder.cache_clear()
    folder = Path(tempfile.mkdtemp(dir=_process_folder(parent)))
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder


def link_file(source: Path, target: Path) -> None:
    """Link a file that never changes again. Raises FileNotFoundError if it was deleted meanwhile."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or no support for links
        shutil.copyfile(source, target)


def sweep(parent: Path) -> None:
    """Delete the folders in `parent` whose process was killed."""
    for folder in parent.glob(f"{PREFIX}*"):
        if _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    try:
        lock = os.open(folder / LOCK_FILE, os.O_RDWR)
    except FileNotFoundError:  # its deletion was interrupted
        return True
    except OSError:  # another user's
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:  # the process lives, or the file system has no locks
        return False
    finally:
        os.close(lock)


@cache
def _process_folder(parent: Path) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    new = Path(tempfile.mkdtemp(prefix=f"new-{PREFIX}", dir=parent))
    # The lock lasts until the process ends in any way. The folder is renamed after locking, so no sweep deletes it.
    # A file and not the folder itself, because NFS locks only what is open for writing.
    with suppress(OSError):  # a file system without locks; nothing is swept there
        fcntl.flock(os.open(new / LOCK_FILE, os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
    folder = new.rename(parent / new.name.removeprefix("new-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
