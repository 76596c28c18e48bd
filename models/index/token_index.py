"""The token vectors of one vector store's chunks, in files that are mapped into memory.

A process appends to a file of its own, the tail. A full tail becomes a segment, which never changes again. A snapshot
seals the tail, links all segments and adds the small file of rows. So a snapshot copies no vectors, and replicas on one
machine share its segments without writing to each other's files.
"""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.errors.requests import ConflictError
from models.filters import Attributes
from models.index.private_folder import link_file, private_folder
from models.index.token_rows import TokenRows
from models.index.token_segment import TokenSegment
from models.types.arrays import KeyArray

SEGMENT_BYTES = 256 * 1024**2  # each segment needs a file descriptor; rewriting half of one takes 0.2 s
MOVED_ROWS = 512  # copied at a time while a segment is rewritten
MAX_DEAD = 0.5  # of a segment
ROWS_FILE, FORMAT = "rows.npz", 1
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class TokenIndex:
    """Blobs by chunk key. A Snapshotting. Not thread-safe.

    Memory holds 24 bytes a chunk; the kernel caches the blobs that are read.
    """

    def __init__(self, parent: Path) -> None:
        """Its private folder is created below `parent` with the first chunk, and deleted with the index."""
        self._parent = parent
        self._private: Path | None = None
        self._rows = TokenRows.empty()
        self._segments: dict[int, TokenSegment] = {}
        self._tail: int | None = None
        self._next_number = 0

    def add(self, keys: KeyArray, codes: Sequence[bytes]) -> None:
        """Add the blobs `codes` under `keys` (n,), which must be new and unique. Raises OSError for a full disk."""
        if not len(keys) == len(codes):
            raise ConflictError(f"got {len(keys)} keys and {len(codes)} codes; the numbers must be equal")
        if not len(keys):
            return
        self._rows = self._rows.merge(self._append(keys, codes))

    def remove(self, keys: KeyArray) -> None:
        """Remove `keys`. Unknown keys are ignored. A segment that is mostly dead is rewritten."""
        positions = self._rows.find(keys) if len(keys) else keys
        positions = positions[positions >= 0]
        if len(positions):
            touched = set(self._rows.segments[positions].tolist())
            self._rows = self._rows.without(positions)
            self._compact(touched)

    def set_attributes(self, attributes: Mapping[int, Attributes]) -> None:
        """Do nothing: the chunks to score have passed the search's filter."""

    def get(self, keys: KeyArray) -> list[memoryview | None]:
        """Return the blob of each key, None for an unknown one. The views are of mapped memory: nothing is copied."""
        positions = self._rows.find(keys)
        rows = self._rows.take(positions[positions >= 0])
        places = list(zip(rows.segments.tolist(), rows.offsets.tolist(), rows.lengths.tolist(), strict=True))
        for number, offset, length in places:
            self._segments[number].prefetch(offset, length)
        views = iter([self._segments[number].read(offset, length) for number, offset, length in places])
        return [next(views) if position >= 0 else None for position in positions.tolist()]

    @property
    def size_bytes(self) -> int:
        """The size of all files, with dead blobs."""
        return sum(segment.size for segment in self._segments.values())

    def __len__(self) -> int:
        return len(self._rows)

    def save(self, folder: Path) -> None:
        self._tail = None  # its file is shared from now on
        for number, segment in self._segments.items():
            link_file(segment.path, folder / _name(number))
        segments = [(number, segment.size, segment.checksum) for number, segment in self._segments.items()]
        state: dict[str, Any] = {
            "format": np.array(FORMAT),
            "boot_id": np.array(_boot_id()),
            "files": np.array(segments, np.int64).reshape(-1, 3),
        }
        np.savez(folder / ROWS_FILE, **vars(self._rows), **state)

    def load(self, folder: Path) -> None:
        if len(self):
            raise ConflictError("only an empty index can load a snapshot")
        try:
            # numpy checks the CRC-32 of each array.
            with (folder / ROWS_FILE).open("rb") as file, np.load(file) as arrays:
                state = dict(arrays)
            self._adopt(folder, state)
        except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
            raise ConflictError(f"there is no complete snapshot in {folder}: {error}") from error

    def _adopt(self, folder: Path, state: dict[str, Any]) -> None:
        """Link the segments of a snapshot, and check them."""
        if int(state["format"]) != FORMAT:
            raise ConflictError(f"the snapshot in {folder} has another format than {FORMAT}")
        # A killed process cannot tear a file that it has written. Only the machine's end can.
        is_same_boot = bool(_boot_id()) and str(state["boot_id"]) == _boot_id()
        segments = {}
        for number, size, checksum in state["files"].tolist():
            path = self._folder() / _name(number)
            link_file(folder / path.name, path)
            segments[number] = TokenSegment(path, size, checksum)
            segments[number].check(is_thorough=not is_same_boot)
        self._segments, self._next_number = segments, max(segments, default=-1) + 1
        self._rows = TokenRows(state["keys"], state["segments"], state["offsets"], state["lengths"])

    def _folder(self) -> Path:
        if self._private is None:
            self._private = private_folder(self, self._parent)
        return self._private

    def _append(self, keys: KeyArray, codes: Sequence[bytes]) -> TokenRows:
        """Write the blobs to the tail, and return their rows."""
        number = self._open_tail()
        offsets = self._segments[number].append(codes)
        lengths = np.array([len(blob) for blob in codes], np.int32)
        rows = TokenRows(np.asarray(keys, np.int64), np.full(len(keys), number, np.int32), offsets, lengths)
        return rows.take(np.argsort(rows.keys))

    def _open_tail(self) -> int:
        """Return the number of the segment to append to."""
        if self._tail is None or self._segments[self._tail].size >= SEGMENT_BYTES:
            number = self._next_number
            segment = TokenSegment(self._folder() / _name(number))
            segment.path.touch()
            self._segments[number] = segment
            self._tail, self._next_number = number, number + 1
        return self._tail

    def _compact(self, numbers: set[int]) -> None:
        """Rewrite those of the segments `numbers` that are mostly dead."""
        for number in numbers:
            is_alive = self._rows.segments == number
            num_alive_bytes = int(self._rows.lengths[is_alive].sum())
            if num_alive_bytes < (1 - MAX_DEAD) * self._segments[number].size:
                self._move(number, self._rows.take(is_alive))

    def _move(self, number: int, rows: TokenRows) -> None:
        """Append the blobs of a segment to another one, and delete it."""
        if self._tail == number:
            self._tail = None
        segment = self._segments[number]
        for start in range(0, len(rows), MOVED_ROWS):
            moved = rows.take(np.arange(start, min(start + MOVED_ROWS, len(rows))))
            places = zip(moved.offsets.tolist(), moved.lengths.tolist(), strict=True)
            codes = [bytes(segment.read(offset, length)) for offset, length in places]
            appended = self._append(moved.keys, codes)
            self._rows = self._rows.without(self._rows.find(moved.keys)).merge(appended)
        del self._segments[number]
        segment.path.unlink(missing_ok=True)


def _name(number: int) -> str:
    return f"{number}.tokens"


def _boot_id() -> str:
    """Return a name of the running kernel, empty where there is none."""
    return BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""
