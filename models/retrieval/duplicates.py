"""Find passages with nearly the same words, so that only one of them is returned."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain

import numpy as np

from models.errors.requests import InvalidRequestError
from models.languages import unspaced
from models.languages.function_words import FUNCTION_WORDS
from models.languages.normal_form import normal_form
from models.languages.stop_words import ENGLISH as ENGLISH_WORDS
from models.types.arrays import KeyArray

# Words per shingle. With 3, one changed word changes 3 of the n - 2 shingles of a passage with n words. Independently
# written passages on one subject share almost no shingle.
SHINGLE_WORDS = 3
MIN_STEM = 4  # letters; a longer word of the query is also looked for without its last two
NUM_CACHED_TEXTS = 8192  # the same chunks are candidates of many questions
FACTORS = (-0x61C8864680B583EB, 0x2545F4914F6CDD1D)  # odd, with mixed bits
# Punctuation and symbols beyond ASCII. All other characters beyond ASCII count as letters.
_SYMBOLS = re.compile(
    "[\u0080-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u2000-\u206f\u20a0-\u20cf\u2190-\u2bff\u3000-\u303f]"
)
_ENGLISH_GENITIVE, _APOSTROPHE = re.compile(r"['’]s\b"), re.compile("['’]")
_WORD_BYTES = bytes(
    byte if byte >= 128 or chr(byte).isalnum() or byte == ord("_") else 32 for byte in range(256)
).lower()


def unique(
    texts: Sequence[str], threshold: float, query: str = "", limit: int | None = None, names: Sequence[str] = ()
) -> list[int]:
    """Return the indexes of the texts that are no near duplicate of an earlier returned text, in order.

    With `limit`, the first so many. Later texts are then read only if the first `limit` have duplicates.

    Two texts are near duplicates if the Jaccard similarity of their sets of shingles is at least `threshold`. A text
    that contains another text and much more is no duplicate. Neighbouring chunks that overlap are no duplicates. A text
    without words is always returned. So is a text with a word of `query` that the earlier text lacks: of contracts
    from one template, the query names the customers. `names` has what names the file of each text (naming.py); a word
    of it counts too, unless it is a word of function. Raises InvalidRequestError for a threshold outside 0..1, or 0.
    Source: Broder, On the resemblance and containment of documents, 1997.
    """
    if not 0 < threshold <= 1:
        raise InvalidRequestError(f"threshold is {threshold}; it must be above 0 and at most 1", "threshold")
    indexes = _unique(texts[:limit], threshold, query, names)
    if limit is not None and len(indexes) < limit < len(texts):
        indexes = _unique(texts, threshold, query, names)[:limit]
    return indexes


def _unique(texts: Sequence[str], threshold: float, query: str, names: Sequence[str]) -> list[int]:
    earlier_duplicates = _near_pairs([_shingles(text) for text in texts], threshold)
    query_words = _query_words(query) if earlier_duplicates else ()
    naming_words = [word for word in query_words if word.strip() not in _function_words()] if names else []
    unique_indexes: list[int] = []
    for index in range(len(texts)):
        twins = earlier_duplicates.get(index, set()).intersection(unique_indexes)
        if all(
            _has_more(texts[index], texts[twin], query_words)
            or (naming_words and _has_more(names[index], names[twin], naming_words))
            for twin in twins
        ):
            unique_indexes.append(index)
    return unique_indexes


def _query_words(query: str) -> tuple[bytes, ...]:
    """The words between white space, `2.1` as two in a row. For scripts without spaces, the pairs of letters.

    Also the beginnings of long words: `Müllers` and `Иванова` name Müller and Иванов.
    """
    query = normal_form(query)
    spaced = _APOSTROPHE.sub(" ", _ENGLISH_GENITIVE.sub("", unspaced.without_unspaced(query))).split()
    words = {b" " + b" ".join(_words(word)) + b" " for word in spaced} - {b"  "}
    stems = {b" " + b"".join(_words(word[: max(MIN_STEM, len(word) - 2)])) for word in spaced if _is_long(word)}
    return (*words, *stems, *(pair.encode() for pair in unspaced.pairs(query)))


def _is_long(word: str) -> bool:
    return len(word) > MIN_STEM and word.isalpha()


@lru_cache(maxsize=1)
def _function_words() -> frozenset[bytes]:
    return frozenset(word.encode() for word in (*ENGLISH_WORDS, *chain.from_iterable(FUNCTION_WORDS.values())))


def _has_more(text: str, earlier: str, query_words: Iterable[bytes]) -> bool:
    """Whether `text` has a word of the query that `earlier` lacks."""
    return any(word in _joined(text) and word not in _joined(earlier) for word in query_words)


@lru_cache(NUM_CACHED_TEXTS)
def _joined(text: str) -> bytes:
    return b" " + b" ".join(_words(normal_form(text))) + b" "


def _near_pairs(shingles: Sequence[KeyArray], threshold: float) -> dict[int, set[int]]:
    """Map each text's index to the earlier indexes of its near duplicates.

    One sort of all shingles brings equal shingles together. Few are equal, so few pairs of texts are compared.
    """
    sizes = np.array([len(hashes) for hashes in shingles], np.int64)
    all_shingles = np.concatenate([*shingles, np.empty(0, np.int64)])
    order = np.argsort(all_shingles, kind="stable")
    text_indexes = np.repeat(np.arange(len(shingles)), sizes)[order]
    ordered = all_shingles[order]
    shared = np.zeros((len(shingles), len(shingles)), np.int64)
    # The sort is stable, so the text indexes of equal shingles ascend. Compare neighbours at distance 1, 2, … until no
    # run of equal shingles is that long.
    step = 1
    while (same := ordered[step:] == ordered[:-step]).any():
        np.add.at(shared, (text_indexes[step:][same], text_indexes[:-step][same]), 1)
        step += 1
    union = sizes[:, None] + sizes[None, :] - shared
    earlier_duplicates: dict[int, set[int]] = {}
    for index, earlier in np.argwhere((shared > 0) & (shared >= threshold * union)).tolist():
        earlier_duplicates.setdefault(index, set()).add(earlier)
    return earlier_duplicates


@lru_cache(NUM_CACHED_TEXTS)
def _shingles(text: str) -> KeyArray:
    """Return the distinct hashes of all runs of three lower-cased words. A shorter text is one run.

    Hashes differ between processes. The chance that two of a million different runs collide is 3 in 10^8.
    """
    words = _words(text)
    hashes = np.fromiter(map(hash, words), np.int64, len(words))
    if len(words) >= SHINGLE_WORDS:
        # Sums and products wrap around. An odd factor loses no bit of a hash.
        runs = np.sort(hashes[:-2] * FACTORS[0] + hashes[1:-1] * FACTORS[1] + hashes[2:])
        is_first = np.ones(len(runs), np.bool_)
        np.not_equal(runs[1:], runs[:-1], out=is_first[1:])
        runs = runs[is_first]  # a quarter of the time of np.unique
    else:
        runs = np.array([hash(tuple(words))] if words else [], np.int64)
    runs.setflags(write=False)
    return runs


def _words(text: str) -> list[bytes]:
    """The words, lower-cased. A table of bytes takes a third of the time of a regular expression for words."""
    if not text.isascii():
        text = _SYMBOLS.sub(" ", text.lower())
    return text.encode().translate(_WORD_BYTES).split()
