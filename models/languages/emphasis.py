"""Stop words that are names here: `IT`, `May`, vitamin `A`. Their capital letters say so, or their place.

A text keeps such a word as a second term, with its capital letters. So "IT budget" finds the IT department before
the texts with the word "it".
"""

import re
from collections.abc import Sequence

from models.languages.stop_words import ENGLISH

_MARK = "\u0789"  # a letter of an unused alphabet: see identifiers.py
# What stands before or after the apostrophe of it's and don't.
_CONTRACTIONS = "s t d ll m re ve don isn aren wasn weren hasn haven hadn doesn didn won wouldn shan"
_PREPOSITIONS = "in of by since until till last next this early late mid before after from during"
_CONTRACTED = frozenset(_CONTRACTIONS.split())
# These words are names if they are written like this inside a sentence.
_CAPITALIZED = {"A", "I", "May", "Will", "Don", "Can"}
_NAMES = frozenset({word.upper() for word in ENGLISH if len(word) > 1} | _CAPITALIZED)
_BEFORE_MONTH = frozenset(_PREPOSITIONS.split())
_SHORT_QUERY = 3  # words: "it budget" is not a sentence
_NAMES_IN_SHORT = frozenset({"it", "us", "may", "will", "am", "don"})
_STOP_WORDS = frozenset(ENGLISH)
# Most stop words of a question, which need no look at their neighbours.
_NEVER_NAMES = frozenset(
    form
    for word in _STOP_WORDS - _CONTRACTED - _NAMES_IN_SHORT
    for form in (word, word.capitalize())
    if form not in _NAMES
)
_APOSTROPHES = {"'", "’"}
_SENTENCE_ENDS = ".!?:;#*-|"
_MAX_CHARS_BEFORE = 40  # enough for the word before
# Begins with a plain set of letters: then `re` skips quickly to the next of them.
_CANDIDATE = re.compile(r"[A-Z](?<!\w[A-Z])(?:[A-Z]{1,9}|(?<=[AI])|(?<=M)ay|(?<=W)ill|(?<=D)on|(?<=C)an)(?![\w'’])")


def emphasized(text: str) -> list[str]:
    """Return the terms of the stop words that are written as names and do not begin a sentence."""
    return [as_term(match.group()) for match in _CANDIDATE.finditer(text) if _is_emphasized(text, match)]


def _is_emphasized(text: str, match: re.Match[str]) -> bool:
    """Whether a word of `text` is written as a name and does not begin a sentence."""
    word = match.group()
    if word not in _NAMES:
        return False
    if len(word) > 1 and word.isupper():
        return True
    before = text[max(0, match.start() - _MAX_CHARS_BEFORE) : match.start()].rpartition("\n")[2].split()
    if not before:
        return False
    return before[-1][0].isupper() if word == "I" else before[-1][-1] not in _SENTENCE_ENDS


def as_term(word: str) -> str:
    return word.lower() + _MARK


def content_flags(query: str, matches: Sequence[re.Match[str]]) -> list[bool]:
    """Say for each word of an English query whether it says what is asked: it is no stop word, or it is a name."""
    words = [match.group() for match in matches]
    num_stop_words = sum(word.lower() in _STOP_WORDS for word in words)
    is_cased, is_short = any(map(str.islower, words)), 1 < len(words) <= _SHORT_QUERY and num_stop_words == 1
    return [
        word not in _NEVER_NAMES
        and (
            word.lower() not in _STOP_WORDS
            or _is_letter(query, matches[place])
            or (is_cased and _is_emphasized(query, matches[place]))
            or _is_month(words, place)
            or (is_short and word.lower() in _NAMES_IN_SHORT)
        )
        for place, word in enumerate(words)
    ]


def _is_letter(query: str, match: re.Match[str]) -> bool:
    """A letter as in "vitamin d", and not the end of "it's". "don" and its like only begin "don't"."""
    word = match.group()
    if word == "A":
        return bool(query[: match.start()].strip())
    if word.lower() not in _CONTRACTED:
        return False
    return not _APOSTROPHES & {query[match.start() - 1 : match.start()], query[match.end() : match.end() + 1]}


def _is_month(words: Sequence[str], place: int) -> bool:
    if words[place].lower() != "may":
        return False
    neighbours = [*words[max(0, place - 1) : place], *words[place + 1 : place + 2]]
    before = words[place - 1].lower() if place else ""
    return before in _BEFORE_MONTH or any(word.isdigit() for word in neighbours)
