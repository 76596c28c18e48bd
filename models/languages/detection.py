"""Tell the language of a text by its script, its function words and its letters. It needs no model.

A sentence has several function words, so a chunk of text is nearly always told right. A text without any evidence is
taken for English: that is what most short texts are, and its words are then stemmed as they always were.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from models.languages.function_words import FUNCTION_WORDS
from models.languages.stop_words import ENGLISH as ENGLISH_WORDS

ENGLISH, OTHER = "english", "other"  # OTHER: a script without a stemmer, such as Hebrew or Devanagari
LANGUAGES = (ENGLISH, *FUNCTION_WORDS, "arabic", "greek", "russian", "tamil", OTHER)
MAX_CHARS = 400  # more evidence does not change the answer
MIN_ENGLISH, ENGLISH_FRACTION = 3, 0.15  # words that only English has; of English texts about a third
MIN_EVIDENCE = 0.6  # a function word of this language alone counts 1, one of two languages 0.5

_SCRIPTS = {
    "greek": re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]"),
    "russian": re.compile(r"[\u0400-\u052f]"),
    "arabic": re.compile(r"[\u0600-\u06ff\u0750-\u077f]"),
    "tamil": re.compile(r"[\u0b80-\u0bff]"),
    OTHER: re.compile(r"[\u0530-\u05ff\u0700-\u074f\u0780-\u0b7f\u0c00-\u0dff\u0f00-\u0fff\u10a0-\u10ff\u1200-\u137f]"),
}
_BEYOND_LATIN = re.compile(r"[\u0370-\u1fff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
# How strongly a letter points to a language, however often it occurs: one name must not decide.
_LETTERS: dict[str, dict[str, float]] = {
    "ß": {"german": 0.8},
    "ü": {"german": 0.35, "turkish": 0.25, "hungarian": 0.15},
    "ö": {"german": 0.2, "swedish": 0.2, "finnish": 0.2, "turkish": 0.15, "hungarian": 0.15},
    "ä": {"german": 0.25, "finnish": 0.25, "swedish": 0.2},
    "å": {"swedish": 0.35, "norwegian": 0.3, "danish": 0.3},
    "ø": {"danish": 0.4, "norwegian": 0.4},
    "æ": {"danish": 0.45, "norwegian": 0.35},
    "ñ": {"spanish": 0.8},
    "¿": {"spanish": 1.0},
    "¡": {"spanish": 1.0},
    "ã": {"portuguese": 0.8},
    "õ": {"portuguese": 0.6},
    "ç": {"french": 0.25, "portuguese": 0.25, "turkish": 0.25},
    "ê": {"french": 0.35, "portuguese": 0.25},
    "è": {"french": 0.3, "italian": 0.3},
    "à": {"french": 0.25, "italian": 0.25, "portuguese": 0.15},
    "œ": {"french": 0.8},
    "ì": {"italian": 0.5},
    "ò": {"italian": 0.5},
    "ő": {"hungarian": 1.0},
    "ű": {"hungarian": 1.0},
    "ğ": {"turkish": 1.0},
    "ş": {"turkish": 0.6, "romanian": 0.4},
    "ı": {"turkish": 1.0},
    "ă": {"romanian": 0.8},
    "ț": {"romanian": 1.0},
    "ș": {"romanian": 1.0},
    "ţ": {"romanian": 0.8},
}
_ANY_LETTER = re.compile(f"[{''.join(_LETTERS)}]")


def language_of(text: str) -> str:
    """Return one of LANGUAGES. `text` is in normal form. Chinese, Japanese, Korean and Thai text tells nothing."""
    if not text.isascii() and _BEYOND_LATIN.search(text):
        language = _by_script(text)
        if language:
            return language
    return _by_words(text.lower())


def _by_script(text: str) -> str:
    """The language of the script that most letters are of; empty for Latin."""
    counts = {language: len(pattern.findall(text)) for language, pattern in _SCRIPTS.items()}
    language = max(counts, key=lambda name: counts[name])
    return language if counts[language] > len(_LATIN.findall(text)) else ""


def _by_words(text: str) -> str:
    """Most texts are English and have many words that no other language has, so they need no more."""
    words = text[:MAX_CHARS].replace("'", " ").replace("’", " ").split()
    num_english = sum(map(_ENGLISH_ALONE.__contains__, words))
    if num_english >= max(MIN_ENGLISH, ENGLISH_FRACTION * len(words)):
        return ENGLISH
    evidence: defaultdict[str, float] = defaultdict(float)
    for word in filter(_LANGUAGES_OF.__contains__, words):
        for language in _LANGUAGES_OF[word]:
            evidence[language] += 1 / len(_LANGUAGES_OF[word])
    for letter in () if text.isascii() else set(_ANY_LETTER.findall(text[:MAX_CHARS])):
        for language, weight in _LETTERS[letter].items():
            evidence[language] += weight
    # The first of the highest, and English first of all.
    best = max(LANGUAGES, key=lambda language: evidence[language])
    return best if evidence[best] >= MIN_EVIDENCE else ENGLISH


def _languages_of(words_of: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    languages: defaultdict[str, list[str]] = defaultdict(list)
    for language, words in words_of.items():
        for word in words:
            languages[word].append(language)
    return {word: tuple(names) for word, names in languages.items()}


_LANGUAGES_OF = _languages_of({ENGLISH: ENGLISH_WORDS, **FUNCTION_WORDS})
_ENGLISH_ALONE = frozenset(word for word, languages in _LANGUAGES_OF.items() if languages == (ENGLISH,))
