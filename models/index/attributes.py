"""The attributes of an index's files, and the files that match a filter."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.filters import Attributes, Filter, matches
from models.types.arrays import KeyArray

BoolArray = NDArray[np.bool_]
SlotArray = NDArray[np.int32]

MAX_FILTERS = 64  # cached results, one byte per file each
MIN_JOURNAL = 10_000


@dataclass(frozen=True)
class _Memo:
    """The cached result of a filter, as of the first `num_read` entries of the journal."""

    allowed: BoolArray
    num_read: int


class FileAttributes:
    """Gives each file of an index a slot, a number from 0, and evaluates filters to one bool per slot.

    Rows of an index store their file's slot, so that filtering is one look-up per row. Results are cached, and updated
    for the files that changed since. Not thread-safe: the index's lock guards it.
    """

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}
        self._attributes: list[Attributes] = []
        self._journal: list[int] = []  # slots in the order of their changes
        self._memos: dict[Filter, _Memo] = {}  # the least recently used first

    def slots(self, file_keys: KeyArray) -> SlotArray:
        """Return the slot of each file (n,). A new file gets a new slot."""
        unique, inverse = np.unique(file_keys, return_inverse=True)
        slots = [self._slot(file_key) for file_key in unique.tolist()]
        return np.array(slots, np.int32)[inverse]

    def set(self, attributes: Mapping[int, Attributes]) -> None:
        """Replace the attributes of these files."""
        for file_key, values in attributes.items():
            slot = self._slot(file_key)
            self._attributes[slot] = dict(values)
            self._journal.append(slot)
        if len(self._journal) > max(MIN_JOURNAL, 2 * len(self._slots)):
            self._journal.clear()
            self._memos.clear()

    def allowed(self, where: Filter) -> BoolArray:
        """Return whether each file matches `where`, by slot. The array is shared: do not write to it."""
        memo = self._memos.pop(where, None)
        if memo is None:
            memo = self._refresh(where, np.empty(0, np.bool_), range(len(self._slots)))
        elif memo.num_read < len(self._journal):
            memo = self._refresh(where, memo.allowed, set(self._journal[memo.num_read :]))
        self._memos[where] = memo
        if len(self._memos) > MAX_FILTERS:
            del self._memos[next(iter(self._memos))]
        return memo.allowed

    @property
    def file_keys(self) -> KeyArray:
        """The file keys by slot."""
        return np.fromiter(self._slots, np.int64, len(self._slots))

    def by_file(self) -> dict[int, Attributes]:
        """Return the attributes of every file by file key, also of files without any."""
        return {key: self._attributes[slot] for key, slot in self._slots.items()}

    def _slot(self, file_key: int) -> int:
        slot = self._slots.get(file_key)
        if slot is None:
            slot = self._slots[file_key] = len(self._slots)
            self._attributes.append({})
            self._journal.append(slot)
        return slot

    def _refresh(self, where: Filter, cached: BoolArray, changed: Iterable[int]) -> _Memo:
        allowed = np.zeros(len(self._slots), np.bool_)
        allowed[: len(cached)] = cached
        for slot in changed:
            allowed[slot] = matches(where, self._attributes[slot])
        return _Memo(allowed, len(self._journal))
