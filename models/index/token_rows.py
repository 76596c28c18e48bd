"""Where the token vectors of each chunk are: arrays of 24 bytes a chunk, sorted by key."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.types.arrays import KeyArray

NumberArray = NDArray[np.int32]


@dataclass(frozen=True)
class TokenRows:
    """Chunk `keys` (n,), unique and ascending, and the segment, offset and length of each chunk's blob in bytes."""

    keys: KeyArray
    segments: NumberArray
    offsets: KeyArray
    lengths: NumberArray

    @staticmethod
    def empty() -> "TokenRows":
        return TokenRows(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int32))

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, keys: KeyArray) -> KeyArray:
        """Return the position of each key, -1 for an unknown one."""
        if not len(self):
            return np.full(len(keys), -1, np.int64)
        positions = np.searchsorted(self.keys, keys)
        positions[positions == len(self)] = 0
        return np.where(self.keys[positions] == keys, positions, -1)

    def take(self, selected: KeyArray | NDArray[np.bool_]) -> "TokenRows":
        """Return the rows at these positions, or where a mask is True."""
        return TokenRows(self.keys[selected], self.segments[selected], self.offsets[selected], self.lengths[selected])

    def merge(self, new: "TokenRows") -> "TokenRows":
        """Return the rows of both. Their keys must differ."""
        pairs = zip(vars(self).values(), vars(new).values(), strict=True)
        merged = TokenRows(*(np.concatenate(pair) for pair in pairs))
        if np.all(np.diff(merged.keys[max(len(self) - 1, 0) :]) > 0):
            return merged  # the usual case: chunks arrive in the order of their keys
        return merged.take(np.argsort(merged.keys, kind="stable"))

    def without(self, positions: KeyArray) -> "TokenRows":
        """Return the rows except those at `positions`."""
        stays = np.ones(len(self), np.bool_)
        stays[positions] = False
        return self.take(stays)
