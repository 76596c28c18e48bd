"""Names of one form, of which a question has one: version 3.2.1 and version 1.2.3, CVE-2024-12 and CVE-2024-123.

A name is an identifier with digits, a word of letters and digits (X200), a noun with its number (section 4), or a day
of a month. An exact one is the same as a whole, in any letter case, a version with or without its `v`. A near one has
other digits, or is a longer or shorter version, section or part number.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from models.languages.function_words import FUNCTION_WORDS
from models.languages.identifiers import as_term, marked_words, whole_names, wholes
from models.languages.normal_form import normal_form
from models.languages.stop_words import ENGLISH

MAX_CACHED_TEXTS = 1_024
MAX_DAY = 31

Match = Literal["exact", "near"]

_LETTERS, _DIGITS = re.compile(r"[^\W\d_\u0780-\u07b1]+"), re.compile(r"\d+")
_DASHES = re.compile("[\u2010-\u2015\u2212]")
_V = re.compile(r"v(?=\d)")
_MORE_PARTS = re.compile(r"(?<=0)(?:\u07800)+")  # \u0780 stands for a full stop
_LEAD = re.compile(r"[^\W\d_]+\d+")
# Not a part of a longer name, such as 4 of 4.1.
_BEGIN, _END = r"(?<![\w])(?<!\w[-._/:@&+#])", r"(?!\w)(?!['’,]\d)(?![-._/:@&+#]+\w)"
_MIXED = re.compile(rf"{_BEGIN}(?=[^\W_]*\d)(?=[^\W_]*[^\W\d_])[^\W_]{{2,64}}{_END}")
_NUMBERED = re.compile(rf"{_BEGIN}([^\W\d_]{{3,40}})\.?[ \t]{{1,3}}(\d{{1,12}})(?:st|nd|rd|th)?{_END}")
_SECTION = re.compile(rf"{_BEGIN}([^\W\d_]{{3,40}})\.?[ \t]{{1,3}}\d{{1,12}}(?:\.\d+)+")
_DAY = re.compile(
    rf"{_BEGIN}(\d{{1,2}})(?:st|nd|rd|th|\.|er|º)?[ \t]{{1,3}}(?:of[ \t]|de[ \t])?([^\W\d_]{{3,12}})(?!\w)"
)
_GRAMMAR = frozenset(ENGLISH).union(*FUNCTION_WORDS.values())
_MONTH_NAMES = """
    january february march april may june july august september october november december
    jan feb mar apr jun jul aug sep sept oct nov dec
    januar jänner februar feber märz mai juni juli oktober dezember
    janvier février mars avril juin juillet août septembre octobre novembre décembre
    enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
    gennaio febbraio aprile maggio giugno luglio settembre ottobre dicembre
    janeiro fevereiro março maio junho julho setembro outubro novembro dezembro
    januari februari maart mei augustus
"""
_MONTHS = frozenset(_MONTH_NAMES.split())


def named(query: str) -> frozenset[str]:
    """Return the identifiers with digits in a query, a version without its `v`."""
    return _identifiers(query)


def has_version_of(text: str, names: frozenset[str]) -> bool:
    """Whether a text has one of the identifiers, or a longer version that begins with one: 1.2.3 of 1.2."""
    return not names.isdisjoint(_with_shorter(text))


@lru_cache(MAX_CACHED_TEXTS)
def exact_names(text: str) -> frozenset[str]:
    """Return all names in a text, each as a whole: 1.2.3, and not 1.2."""
    if not _DIGITS.search(text):
        return frozenset()
    normal = _normal(text)
    mixed = (word.lower() for word in _MIXED.findall(normal))
    return _identifiers(text).union(mixed, _numbered(normal.lower()))


def match_of(text: str, names: frozenset[str]) -> Match | None:
    """exact: the text has one of `names`; near: only others of their form; None: neither."""
    if not names.isdisjoint(exact_names(text)):
        return "exact"
    forms = frozenset(form for name in names for form in _forms(name))
    return None if forms.isdisjoint(_forms_of(text)) else "near"


@lru_cache(MAX_CACHED_TEXTS)
def _identifiers(text: str) -> frozenset[str]:
    words = marked_words(_normal(text))
    terms = (as_term(name) for word in words for name in whole_names(word) if _DIGITS.search(name))
    return frozenset(map(_without_v, terms))


@lru_cache(MAX_CACHED_TEXTS)
def _with_shorter(text: str) -> frozenset[str]:
    words = marked_words(_normal(text))
    return frozenset(_without_v(term) for word in words for term in wholes(word) if _DIGITS.search(term))


@lru_cache(MAX_CACHED_TEXTS)
def _forms_of(text: str) -> frozenset[str]:
    sections = (f"{match[1]} 0" for match in _SECTION.finditer(_normal(text).lower()))
    return frozenset(form for name in exact_names(text) for form in _forms(name)).union(sections)


def _numbered(text: str) -> Iterator[str]:
    """A noun and its number, and a day before its month. `text` is lower-cased."""
    for noun, number in _NUMBERED.findall(text):
        if noun in _MONTHS and int(number) <= MAX_DAY:
            yield f"{int(number)} {noun}"
        elif noun not in _GRAMMAR:
            yield f"{noun} {number}"
    yield from (f"{int(day)} {month}" for day, month in _DAY.findall(text) if month in _MONTHS)


def _forms(name: str) -> Iterator[str]:
    """What a near name has in common with this one."""
    digitless = _DIGITS.sub("0", name)
    if " " in name:
        yield "0 month" if name[0].isdecimal() else digitless
        return
    if _V.match(name) and name[1:].isdecimal():
        yield "0\u07800"
    if lead := _LEAD.match(name):
        yield f"^{lead.group()}"
    is_joined = any("\u0780" <= char <= "\u0788" for char in name)
    yield _MORE_PARTS.sub("\u07800", _LETTERS.sub("a", digitless)) if is_joined else digitless


def _without_v(term: str) -> str:
    return term[1:] if _V.match(term) else term


def _normal(text: str) -> str:
    return _DASHES.sub("-", normal_form(text))
