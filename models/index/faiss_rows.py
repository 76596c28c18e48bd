"""The data of rows that FAISS does not store: the chunk's key, the file's slot, and whether the row is alive."""

import numpy as np

from models.index.attributes import BoolArray, SlotArray
from models.types.arrays import KeyArray

MIN_CAPACITY = 1_024


class FaissRows:
    """Rows 0 to `len(rows)` - 1, numbered as FAISS numbers its vectors. Removed rows stay, dead, until `keep`."""

    def __init__(self) -> None:
        self._size = self.num_alive = 0
        self._keys: KeyArray = np.empty(MIN_CAPACITY, np.int64)
        self._slots: SlotArray = np.empty(MIN_CAPACITY, np.int32)
        self._alive: BoolArray = np.empty(MIN_CAPACITY, np.bool_)
        self._is_ascending = True

    def append(self, keys: KeyArray, slots: SlotArray) -> None:
        start, end = self._size, self._size + len(keys)
        if end > len(self._keys):
            self._grow(max(end, 2 * len(self._keys)))
        self._keys[start:end], self._slots[start:end], self._alive[start:end] = keys, slots, True
        self._size, self.num_alive = end, self.num_alive + len(keys)
        self._is_ascending = self._is_ascending and bool(np.all(np.diff(self.keys[max(start - 1, 0) :]) > 0))

    def kill(self, keys: KeyArray) -> None:
        """Mark the rows of these keys as dead."""
        self.alive[self._positions(keys)] = False
        self.num_alive = int(np.count_nonzero(self.alive))

    def restore(self, keys: KeyArray, slots: SlotArray, alive: BoolArray) -> None:
        """Append rows. Some may be dead already."""
        self.append(keys, slots)
        self.alive[len(self) - len(alive) :] = alive
        self.num_alive = int(np.count_nonzero(self.alive))

    def keep(self, positions: KeyArray) -> None:
        """Keep only these rows, which must be alive, and renumber them from 0."""
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
        # The usual case: chunks arrive in the order of their keys, except for those that arrive again.
        positions = np.searchsorted(self.keys, keys)
        positions = positions[positions < self._size]
        return positions[np.isin(self.keys[positions], keys)]

    def _grow(self, capacity: int) -> None:
        self._keys = np.resize(self._keys, capacity)
        self._slots = np.resize(self._slots, capacity)
        self._alive = np.resize(self._alive, capacity)
