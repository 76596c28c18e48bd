"""The data folder of a local service: writable, and of one `ragserve up` at a time. Both are told before Ray starts."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TextIO

from models.errors.configuration import ConfigError

LOCK_NAME = ".ragserve-up.lock"


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Make the folder, write to it once, and keep it for this process during the block.

    The system ends the ownership of a process that dies. Raises ConfigError.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
        lock = (folder / LOCK_NAME).open("a+")
    except OSError as error:
        raise _problem(f"{folder} cannot be written: {error.strerror}") from None
    with lock:
        _take(lock, folder)
        yield


def check_writable(folder: Path, purpose: str) -> None:
    """Make the folder and write to it once. Raises ConfigError; `purpose` says who needs it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = f"cannot be written: {error.strerror}; {purpose}"
        raise ConfigError(
            str(folder), f"{reason}. A container with a read-only root file system needs a tmpfs there"
        ) from None


def owner_of(folder: Path) -> int:
    """The process of the `ragserve up` that uses the folder. Raises ConfigError if there is none."""
    try:
        pid = int((folder / LOCK_NAME).read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        raise ConfigError(str(folder), "no `ragserve up` uses this folder; name its folder with --data") from None
    return pid


def _take(lock: TextIO, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise _problem(f"{folder} is in use by another `ragserve up`, process {lock.read().strip()}") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()


def _problem(what: str) -> ConfigError:
    return ConfigError("storage.data_dir", f"{what}; choose another folder with --data")
