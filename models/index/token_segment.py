"""A file of blobs that grows at its end and is read through a memory map."""

import mmap
import zlib
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import numpy as np

from models.errors.requests import ConflictError
from models.types.arrays import KeyArray

READ_BYTES = 1 << 20


class TokenSegment:
    """The first `size` bytes of a file. Reads copy nothing: the kernel loads the pages of a blob, and drops them.

    `checksum` is the CRC-32 of these bytes. Bytes after `size` are of a write that failed; the next one replaces them.
    """

    def __init__(self, path: Path, size: int = 0, checksum: int = 0) -> None:
        self.path, self.size, self.checksum = path, size, checksum
        self._map: mmap.mmap | None = None

    def append(self, blobs: Sequence[bytes]) -> KeyArray:
        """Write the blobs, and return the offset of each. Raises OSError for a full disk; then nothing is appended."""
        lengths = np.array([len(blob) for blob in blobs], np.int64)
        with self.path.open("r+b") as file:
            file.seek(self.size)
            file.writelines(blobs)
        offsets = self.size + np.cumsum(lengths) - lengths
        self.checksum = reduce(lambda checksum, blob: zlib.crc32(blob, checksum), blobs, self.checksum)
        self.size += int(lengths.sum())
        return offsets

    def prefetch(self, offset: int, length: int) -> None:
        """Ask the kernel to load these bytes in the background. Then one wait covers several blobs.

        Measured with 30 blobs of 16 kB that are not cached: 8 to 10 ms instead of 17 to 27.
        """
        page = offset - offset % mmap.PAGESIZE
        if length:
            self._mapped(offset + length).madvise(mmap.MADV_WILLNEED, page, offset + length - page)

    def read(self, offset: int, length: int) -> memoryview:
        """Return the bytes as a view of the map. It stays valid after the segment is deleted."""
        return memoryview(self._mapped(offset + length))[offset : offset + length] if length else memoryview(b"")

    def check(self, is_thorough: bool) -> None:
        """Raise ConflictError for a shorter file, and if `is_thorough`, for other bytes."""
        actual_size = self.path.stat().st_size
        if actual_size < self.size:
            raise ConflictError(f"{self.path} has {actual_size} bytes; it must have at least {self.size}")
        if is_thorough and self._checksum_of_file() != self.checksum:
            raise ConflictError(f"{self.path} is damaged: it does not match its checksum")

    def _mapped(self, size: int) -> mmap.mmap:
        if self._map is None or len(self._map) < size:
            with self.path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), self.size, access=mmap.ACCESS_READ)
            # Without this, each fault would read 128 kB around a blob.
            self._map.madvise(mmap.MADV_RANDOM)
        return self._map

    def _checksum_of_file(self) -> int:
        checksum, num_left = 0, self.size
        with self.path.open("rb") as file:
            while num_left and (block := file.read(min(READ_BYTES, num_left))):
                checksum, num_left = zlib.crc32(block, checksum), num_left - len(block)
        return checksum
