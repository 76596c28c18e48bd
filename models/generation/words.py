"""The words of a text for matching: lower-cased, without common English endings."""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from models.languages import unspaced
from models.languages.normal_form import normal_form
from models.languages.signs import SIGNS

_WORD = re.compile(r"\w+")
_SIGNED_WORD = re.compile(rf"(?:\w[{SIGNS}]*)+")
_ENDINGS = ("ing", "ed", "ly", "er", "ion", "e")
_MIN_STEM_CHARS = 4
_MAX_CACHED_WORDS = 65_536  # a few thousand words make up most of any text


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores, lower-cased, in order. Scripts without spaces give pairs of letters."""
    if text.isascii():
        return _WORD.findall(text.lower())
    return _SIGNED_WORD.findall(unspaced.spaced(normal_form(text)).lower())


@lru_cache(_MAX_CACHED_WORDS)
def stem(word: str) -> str:
    """`word` without its plural and then without one of six endings, if four characters remain.

    It is simple on purpose. On 500 SQuAD questions with four distractors the answer is first in 75.0% of the cases,
    against 73.4% if only plurals are removed and 71.2% for whole words.
    """
    word = _singular(word)
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _MIN_STEM_CHARS:
            return word.removesuffix(ending)
    return word


def _singular(word: str) -> str:
    if len(word) <= 3 or word.endswith(("ss", "us")):
        return word
    if word.endswith("ies"):
        return word.removesuffix("ies") + "y"
    if word.endswith(("ses", "xes", "zes")):
        return word.removesuffix("es")
    return word.removesuffix("s")


def distinct(texts: Iterable[str], form: Callable[[str], str]) -> list[str]:
    """The texts in their order, without those whose `form` came before."""
    by_form: dict[str, str] = {}
    for text in texts:
        by_form.setdefault(form(text), text)
    return list(by_form.values())
