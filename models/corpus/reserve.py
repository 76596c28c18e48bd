"""Room that is kept on SQLite's disk. A delete writes to the log first, and a full disk has no room for that."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

RESERVE_BYTES = 8 * 1024 * 1024  # SQLite's log of 4 MB, which goes into the database, and deletes beside it
NEARLY_FULL_BYTES = 4 * 1024 * 1024 * 1024  # a disk with more room needs no reserve
MAX_SHARE = 20  # of the room that is left, at most one in so many bytes is reserved


class Reserve:
    """A file beside the database, emptied while a delete needs its room. Processes may share it. Raises nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self) -> None:
        """Reserve room if the disk is nearly full. A reserve that is there stays."""
        free = self._free_bytes()
        if free < NEARLY_FULL_BYTES:
            self._fill(free // MAX_SHARE)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Give the room to the block if the disk has no other, and take back afterwards what there is."""
        if self._free_bytes() >= RESERVE_BYTES or not self._size_bytes():
            yield
            return
        self.give_up()
        try:
            yield
        finally:
            self._fill(self._free_bytes())

    def give_up(self) -> None:
        with suppress(OSError):
            os.truncate(self._path, 0)

    def _fill(self, available_bytes: int) -> None:
        """Before other writers take the room. Blocks are really allocated."""
        num_bytes = min(available_bytes, RESERVE_BYTES)
        with suppress(OSError):
            if num_bytes > self._size_bytes():
                with self._path.open("ab") as file:
                    self._path.chmod(0o600)
                    os.posix_fallocate(file.fileno(), 0, num_bytes)

    def _size_bytes(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def _free_bytes(self) -> int:
        try:
            disk = os.statvfs(self._path.parent)
        except OSError:
            return NEARLY_FULL_BYTES
        return disk.f_bavail * disk.f_frsize
