"""What FAISS does not keep of a row: its chunk's key, its file's slot, and whether it was removed."""

import numpy as np

from models.index.attributes import BoolArray, SlotArray
from models.types import KeyArray

MIN_CAPACITY = 1_024


class FaissRows:
    """Rows 0 to `len(rows)` - 1, as FAISS numbers its vectors. Removed ones stay, dead, until `keep`."""

    def __init__(self) -> None:
        self._size = self.num_alive = 0
        self._keys: KeyArray = np.empty(MIN_CAPACITY, np.int64)
        self._slots: SlotArray = np.empty(MIN_CAPACITY, np.int32)
        self._alive: BoolArray = np.empty(MIN_CAPACITY, np.bool_)
        self._is_ascending = True

    def append(self, keys: KeyArray, slots: SlotArray) -> None:
        before, after = self._size, self._size + len(keys)
        if after > len(self._keys):
            self._grow(max(after, 2 * len(self._keys)))
        self._keys[before:after], self._slots[before:after], self._alive[before:after] = keys, slots, True
        self._size, self.num_alive = after, self.num_alive + len(keys)
        self._is_ascending = self._is_ascending and bool(np.all(np.diff(self.keys[max(before - 1, 0) :]) > 0))

    def kill(self, keys: KeyArray) -> None:
        """Marks the rows of these keys as dead."""
        self.alive[self._positions(keys)] = False
        self.num_alive = int(np.count_nonzero(self.alive))

    def restore(self, keys: KeyArray, slots: SlotArray, alive: BoolArray) -> None:
        """Appends rows of which some are dead."""
        self.append(keys, slots)
        self.alive[len(self) - len(alive) :] = alive
        self.num_alive = int(np.count_nonzero(self.alive))

    def keep(self, positions: KeyArray) -> None:
        """Numbers these rows, which are alive, anew from 0; the others are gone."""
        keys, slots = self.keys[positions], self.slots[positions]
        self._size, self.num_alive, self._is_ascending = 0, 0, True
        self.append(keys, slots)

    @property
    def keys(self) -> KeyArray:
        return self._keys[: self._size]

    @property
    def slots(self) -> SlotArray:
        return self._slots[: self._size]

    @property
    def alive(self) -> BoolArray:
        return self._alive[: self._size]

    def __len__(self) -> int:
        return self._size

    def _positions(self, keys: KeyArray) -> KeyArray:
        if not self._is_ascending:
            return np.flatnonzero(np.isin(self.keys, keys))
        # Chunks come in the order of their keys but for those that come again, so this is the usual case.
        positions = np.searchsorted(self.keys, keys)
        positions = positions[positions < self._size]
        return positions[np.isin(self.keys[positions], keys)]

    def _grow(self, capacity: int) -> None:
        self._keys = np.resize(self._keys, capacity)
        self._slots = np.resize(self._slots, capacity)
        self._alive = np.resize(self._alive, capacity)
