"""Sketches of texts, by which near-duplicates are found among many files without comparing their texts.

A sketch has the digest of the whole text, the least hash of each part of the range of hashes, and the NUM_LEAST least
hashes of all. Files that are alike have some of the parts in common: `bands` are what an index looks up. The least
hashes give the Jaccard similarity: exactly for texts of few words, else with a standard error of 3 %.
Sources: Broder, On the resemblance and containment of documents, 1997; Li, Owen, Zhang, One permutation hashing, 2012.
"""

import hashlib
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.languages import unspaced
from models.languages.normal_form import normal_form

HashArray = NDArray[np.uint64]

SHINGLE_WORDS = 3  # as among the passages of a search: models/retrieval/duplicates.py
NUM_LEAST = 128
PART_BITS = 6
NUM_PARTS = 1 << PART_BITS
# Of 64 parts, a band has 4. Files with a similarity of 0.8 share one of 16 bands in 99.98 % of cases, 0.7 in 98.8 %.
BAND_PARTS = 4
DIGEST_BYTES = 8
EMPTY = np.uint64(2**64 - 1)  # of a part without a hash
WORD = re.compile(r"\w+")
FACTORS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0x2545F4914F6CDD1D))  # odd, with mixed bits


def sketch_of(text: str) -> bytes:
    """The sketch of a text, at most 1.5 kB; empty for a text without words. Time is linear in the text."""
    words = _words(text)
    if not words:
        return b""
    hashes = _shingles(words)
    parts = np.full(NUM_PARTS, EMPTY, np.uint64)
    numbers, firsts = np.unique((hashes >> np.uint64(64 - PART_BITS)).astype(np.intp), return_index=True)
    parts[numbers] = hashes[firsts]  # the least of each part, as hashes are sorted
    digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=DIGEST_BYTES).digest()
    return digest + parts.astype("<u8").tobytes() + hashes[:NUM_LEAST].astype("<u8").tobytes()


def bands(sketch: bytes) -> list[int]:
    """What a file shares with its near-duplicates: signed integers of 64 bits. The first is that of equal texts."""
    return list(dict.fromkeys(_bands(sketch))) if sketch else []


def similarity(first: bytes, second: bytes) -> float:
    """The Jaccard similarity of the sets of runs of three words, 0 to 1."""
    if not first or not second:
        return 0.0
    ours, theirs = _least(first), _least(second)
    # Of a full sketch, only what lies below its greatest hash is known.
    limit = min((hashes[-1] for hashes in (ours, theirs) if len(hashes) == NUM_LEAST), default=EMPTY)
    ours, theirs = ours[ours <= limit], theirs[theirs <= limit]
    num_shared = len(np.intersect1d(ours, theirs, assume_unique=True))
    return num_shared / (len(ours) + len(theirs) - num_shared)


def is_same_text(first: bytes, second: bytes) -> bool:
    """Whether the texts are equal to the letter."""
    return bool(first) and first[:DIGEST_BYTES] == second[:DIGEST_BYTES]


def _bands(sketch: bytes) -> Iterator[int]:
    yield int.from_bytes(sketch[:DIGEST_BYTES], "little", signed=True)
    parts = np.frombuffer(sketch, "<u8", NUM_PARTS, DIGEST_BYTES)
    for number in range(0, NUM_PARTS, BAND_PARTS):
        band = parts[number : number + BAND_PARTS]
        if (band != EMPTY).any():
            digest = hashlib.blake2b(band.tobytes(), digest_size=8, salt=number.to_bytes(2, "little")).digest()
            yield int.from_bytes(digest, "little", signed=True)


def _least(sketch: bytes) -> HashArray:
    return np.frombuffer(sketch, "<u8", offset=DIGEST_BYTES + 8 * NUM_PARTS)


def _words(text: str) -> list[str]:
    """The words, whatever their case and form. Of scripts without spaces, the pairs of letters."""
    text = normal_form(text).casefold()
    return WORD.findall(unspaced.spaced(text) if unspaced.has_unspaced(text) else text)


def _shingles(words: list[str]) -> HashArray:
    """The sorted, distinct hashes of all runs of three words. A shorter text is one run. Equal in every process."""
    by_word = {word: _hash(word) for word in set(words)}
    hashes = np.fromiter(map(by_word.__getitem__, words), np.uint64, len(words))
    if len(hashes) < SHINGLE_WORDS:
        return np.array([_hash(" ".join(words))], np.uint64)
    # Sums and products wrap around. An odd factor loses no bit of a hash.
    return np.unique(_mix(hashes[:-2] * FACTORS[0] + hashes[1:-1] * FACTORS[1] + hashes[2:]))


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(errors="replace"), digest_size=8).digest(), "little")


def _mix(hashes: HashArray) -> HashArray:
    """Steele and others' splitmix64: the least hashes are then a random sample."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))
