"""Passages that say the same in nearly the same words: one of them is enough."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from models.errors import InvalidRequestError

# Words of a shingle. With 3, one changed word costs a passage of n words 3 of its n - 2 shingles, and passages on
# one subject that were written apart share next to none.
SHINGLE_WORDS = 3
_WORD = re.compile(r"\w+")

Shingle = tuple[str, ...]


def unique(texts: Sequence[str], threshold: float) -> list[int]:
    """The places of the texts to keep, in order: each that no kept text before it is nearly the same as.

    Nearly the same: the Jaccard similarity of their sets of shingles is at least `threshold`. So a text that holds
    another and much more is not its duplicate, nor are neighbouring chunks that overlap. A text without words is kept.
    Raises InvalidRequestError for a threshold outside 0..1, or 0.
    Source: Broder, On the resemblance and containment of documents, 1997.
    """
    if not 0 < threshold <= 1:
        raise InvalidRequestError(f"threshold is {threshold}; it must be above 0 and at most 1", "threshold")
    sizes: dict[int, int] = {}
    holders: dict[Shingle, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        shingles = _shingles(text)
        if _is_near_any(shingles, holders, sizes, threshold):
            continue
        sizes[place] = len(shingles)
        for shingle in shingles:
            holders[shingle].append(place)
    return list(sizes)


def _is_near_any(
    shingles: set[Shingle], holders: dict[Shingle, list[int]], sizes: dict[int, int], threshold: float
) -> bool:
    shared = Counter(holder for shingle in shingles if shingle in holders for holder in holders[shingle])
    return any(count / (len(shingles) + sizes[holder] - count) >= threshold for holder, count in shared.items())


def _shingles(text: str) -> set[Shingle]:
    """Every run of three words, lower-cased; of a shorter text, all its words as one."""
    words = _WORD.findall(text.lower())
    if len(words) < SHINGLE_WORDS:
        return {tuple(words)} if words else set()
    return set(zip(words, words[1:], words[2:], strict=False))
