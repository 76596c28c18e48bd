"""A data folder whose disk is full, and a database that another process keeps locked."""

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serve.cli.chaos.fault import LASTS_S

MAX_DISK_BYTES = 1024**3  # a larger one is not a disk for a test
PIECE_BYTES = 1024**2
BALLAST = "chaos-ballast"
DATABASE = "ragserve.db"


@dataclass(frozen=True)
class FullDisk:
    """A file that fills the disk of the data folder for a while. Only a small disk is filled, such as a tmpfs."""

    data: Path
    lasts_s: float = LASTS_S

    @property
    def name(self) -> str:
        return f"a full disk for {self.lasts_s:g} s"

    def is_possible(self) -> bool:
        size = os.statvfs(self.data)
        return size.f_blocks * size.f_frsize <= MAX_DISK_BYTES

    @contextmanager
    def inject(self) -> Iterator[None]:
        ballast, end = self.data / BALLAST, time.monotonic() + self.lasts_s
        try:
            with ballast.open("wb", buffering=0) as file:
                while time.monotonic() < end:
                    _fill(file.fileno())  # again and again: the service may delete files
                    time.sleep(0.2)
        finally:
            ballast.unlink()
        yield


@dataclass(frozen=True)
class LockedDatabase:
    """A transaction of another process keeps SQLite's write lock for a while."""

    data: Path
    lasts_s: float = LASTS_S

    @property
    def name(self) -> str:
        return f"a lock on the database for {self.lasts_s:g} s"

    def is_possible(self) -> bool:
        return (self.data / DATABASE).exists()

    @contextmanager
    def inject(self) -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(self.data / DATABASE, timeout=60, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                time.sleep(self.lasts_s)
            finally:
                database.execute("ROLLBACK")
        yield


def _fill(file: int) -> None:
    """Write until no byte has a place."""
    size = PIECE_BYTES
    while size:
        try:
            os.write(file, bytes(size))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            size //= 2
