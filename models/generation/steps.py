"""The calls of an answer in several steps: which passages each reads. Their number is bounded."""

from collections.abc import Sequence
from itertools import count, pairwise
from typing import TypeVar

T = TypeVar("T")

FAN_IN = 8  # most notes that one call combines
MIN_LEAF_SIZE = 2  # passages that one call takes notes of
MAX_NOTE_TOKENS = 256


def refine_groups(places: Sequence[int], max_calls: int) -> list[tuple[int, ...]]:
    """A passage a call, or as few as `max_calls` allow. The most relevant are read first."""
    return split(places, min(len(places), max_calls))


def tree_groups(places: Sequence[int], max_calls: int) -> list[tuple[int, ...]]:
    """The smallest groups whose notes, and the calls that combine the notes, are at most `max_calls` calls."""
    for size in count(MIN_LEAF_SIZE):
        num_groups = -(-len(places) // size)
        if num_tree_calls(num_groups) <= max_calls:
            return split(places, num_groups)
    raise AssertionError("one group is one call")


def num_tree_calls(num_groups: int) -> int:
    """The calls for notes of so many groups, and for combining them level by level. One group is answered at once."""
    if num_groups <= 1:
        return num_groups
    return num_groups + num_tree_calls(-(-num_groups // FAN_IN))


def split(items: Sequence[T], num_groups: int) -> list[tuple[T, ...]]:
    """Groups of neighbours whose sizes differ by at most one."""
    borders = [len(items) * number // num_groups for number in range(num_groups + 1)] if num_groups else []
    return [tuple(items[start:end]) for start, end in pairwise(borders)]
