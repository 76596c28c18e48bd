"""Private folders of keyword indexes: on disk, so that they can be saved as they are, and gone with their process."""

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
    """A new folder, removed once `owner` is."""
    folder = Path(tempfile.mkdtemp(dir=_process_folder()))
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder


def link_files(source: Path, target: Path) -> None:
    """Puts the files of one folder into another. Tantivy writes no file twice, so a hard link is as good as a copy."""
    for file in source.iterdir():
        if file.suffix == ".lock":
            continue
        try:
            os.link(file, target / file.name)
        except OSError:  # another file system, or one without links
            shutil.copyfile(file, target / file.name)


def sweep(parent: Path) -> None:
    """Removes the folders in `parent` whose process was killed: nobody holds their lock."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:  # another user's, or just gone
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
    # Held until the process ends, however it ends. Only then does the folder get the name that others sweep.
    fcntl.flock(os.open(new, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_EX)
    folder = new.rename(parent / new.name.removeprefix("new-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
