"""Passages that say the same in nearly the same words: one of them is enough."""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from models.errors import InvalidRequestError
from models.types import KeyArray

# Words of a shingle. With 3, one changed word costs a passage of n words 3 of its n - 2 shingles, and passages on
# one subject that were written apart share next to none.
SHINGLE_WORDS = 3
NUM_REMEMBERED = 8192  # texts: the same chunks are candidates of many questions
_WORD = re.compile(r"\w+")


def unique(texts: Sequence[str], threshold: float) -> list[int]:
    """The places of the texts to keep, in order: each that no kept text before it is nearly the same as.

    Nearly the same: the Jaccard similarity of their sets of shingles is at least `threshold`. So a text that holds
    another and much more is not its duplicate, nor are neighbouring chunks that overlap. A text without words is kept.
    Raises InvalidRequestError for a threshold outside 0..1, or 0.
    Source: Broder, On the resemblance and containment of documents, 1997.
    """
    if not 0 < threshold <= 1:
        raise InvalidRequestError(f"threshold is {threshold}; it must be above 0 and at most 1", "threshold")
    shingles = [_shingles(text) for text in texts]
    near = _near_pairs(shingles, threshold)
    kept: list[int] = []
    for place in range(len(texts)):
        if near.get(place, set()).isdisjoint(kept):
            kept.append(place)
    return kept


def _near_pairs(shingles: Sequence[KeyArray], threshold: float) -> dict[int, set[int]]:
    """Of each place, the places before it whose set of shingles is nearly the same.

    Places that share a shingle meet in one sort of them all; nearly none do, so nearly nothing is compared.
    """
    sizes = np.array([len(one) for one in shingles], np.int64)
    all_shingles = np.concatenate([*shingles, np.empty(0, np.int64)])
    order = np.argsort(all_shingles, kind="stable")
    holders = np.repeat(np.arange(len(shingles)), sizes)[order]
    ordered = all_shingles[order]
    shared = np.zeros((len(shingles), len(shingles)), np.int64)
    # Within a run of one shingle the holders rise, as the sort is stable: `step` apart, until no run is as long.
    step = 1
    while (same := ordered[step:] == ordered[:-step]).any():
        np.add.at(shared, (holders[step:][same], holders[:-step][same]), 1)
        step += 1
    either = sizes[:, None] + sizes[None, :] - shared
    near: dict[int, set[int]] = {}
    for place, before in np.argwhere((shared > 0) & (shared >= threshold * either)).tolist():
        near.setdefault(place, set()).add(before)
    return near


@lru_cache(NUM_REMEMBERED)
def _shingles(text: str) -> KeyArray:
    """Hashes of every run of three words, lower-cased, once each; of a shorter text, of all its words as one.

    They differ from process to process; that two of a million are alike has a chance of 3 in 10^8.
    """
    words = _WORD.findall(text.lower())
    if len(words) < SHINGLE_WORDS:
        runs = {tuple(words)} if words else set()
    else:
        runs = set(zip(words, words[1:], words[2:], strict=False))
    found = np.fromiter(map(hash, runs), np.int64, len(runs))
    found.setflags(write=False)
    return found
