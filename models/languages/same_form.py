"""Identifiers of one form, of which a question names one: version 3.2.1 and version 1.2.3."""

import re
from functools import lru_cache

from models.languages.identifiers import marked_words, wholes
from models.languages.normal_form import normal_form

MAX_CACHED_TEXTS = 1_024

_LETTERS, _DIGITS = re.compile(r"[^\W\d_\u0780-\u07b1]+"), re.compile(r"\d+")


def named(query: str) -> frozenset[str]:
    """Return the identifiers with digits in a query, a version without its `v`."""
    names = set()
    for word in marked_words(normal_form(query)):
        terms = [term for term in wholes(word) if _DIGITS.search(term)]
        names.update(terms[1:2] if len(terms) > 1 and terms[0] == f"v{terms[1]}" else terms[:1])
    return frozenset(names)


def has_exact(text: str, names: frozenset[str]) -> bool:
    return not names.isdisjoint(_identifiers(text))


def has_near(text: str, names: frozenset[str]) -> bool:
    """Whether a text has an identifier of the same form as one of `names`: the same joiners, letters and digits."""
    forms = {_form(name) for name in names}
    return any(_form(term) in forms for term in _identifiers(text))


@lru_cache(MAX_CACHED_TEXTS)
def _identifiers(text: str) -> frozenset[str]:
    words = marked_words(normal_form(text))
    return frozenset(term for word in words for term in wholes(word) if _DIGITS.search(term))


def _form(term: str) -> str:
    return _DIGITS.sub("0", _LETTERS.sub("a", term))
