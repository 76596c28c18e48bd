"""Whether passages have the identifiers and numbered things that a question names: CVE-2024-1234, R12, box number 8."""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from models.generation.words import words
from models.languages.same_form import has_version_of, named
from models.languages.stop_words import ENGLISH

MAX_CACHED_TEXTS = 1_024

_DIGITS = re.compile(r"\d+")
_MIXED = re.compile(r"(?=.*\d)(?=.*[^\W\d_])\w+")
_GRAMMAR = frozenset(ENGLISH)


def names_of(question: str) -> frozenset[str]:
    return named(question)


def words_with_digits(text: str) -> frozenset[str]:
    """The words of letters and digits, such as r12 and x200."""
    return frozenset(word for word in words(text) if _MIXED.fullmatch(word))


def lacks_named(question: str, texts: Sequence[str]) -> bool:
    """Whether an identifier of the question is in no text, or only its sort with other digits is.

    A word such as R12 and a number with its noun count only if the texts have others of their sort: R1, box 7.
    """
    names = names_of(question)
    if names and not any(has_version_of(text, names) for text in texts):
        return True
    terms = _terms(question)
    return bool(terms) and _lacks(terms, frozenset[str]().union(*map(_terms, texts)))


def _lacks(terms: frozenset[str], present: frozenset[str]) -> bool:
    """Whether a term is missing though others of its form are there."""
    missing = terms - present
    return not {_form(term) for term in present}.isdisjoint({_form(term) for term in missing})


def _form(term: str) -> str:
    return _DIGITS.sub("0", term)


@lru_cache(MAX_CACHED_TEXTS)
def _terms(text: str) -> frozenset[str]:
    """Words of letters and digits, and each whole number with the noun before it: `r12`, `number 8`."""
    text_words = words(text)
    numbered = (f"{noun} {number}" for noun, number in pairwise(text_words) if _is_numbered(noun, number))
    return words_with_digits(text).union(numbered)


def _is_numbered(noun: str, number: str) -> bool:
    return number.isdecimal() and noun.isalpha() and noun not in _GRAMMAR
