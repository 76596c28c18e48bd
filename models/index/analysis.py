"""Texts and queries to the terms of a keyword index, by language and script.

A text in English gives stems without accents. A text in another language gives stems of that language, marked with its
name, so that equal stems of two languages stay apart. German compounds also give their parts. A query does not tell its
language surely, so each of its words is searched in every language that the index has. Identifiers are terms as a whole
and in parts; scripts without spaces give pairs of letters.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from models.languages import compounds, emphasis, identifiers, unspaced
from models.languages.detection import ENGLISH, LANGUAGES, OTHER, language_of
from models.languages.function_words import FUNCTION_WORDS
from models.languages.normal_form import normal_form
from models.languages.signs import SIGNS
from models.languages.stop_words import ENGLISH as ENGLISH_STOP_WORDS

if TYPE_CHECKING:
    import tantivy

VERSION = 3  # a change of the terms needs another number: snapshots of other versions are not loaded
MAX_WORD_BYTES = 40  # Tantivy's default; longer words are hashes and base64
MAX_FOREIGN_BYTES = 120  # a letter has two or three bytes in other scripts
MAX_CACHED_WORDS = 65_536  # of queries: a few MB
# A letter of an unused alphabet between a language and a stem: see models/languages/identifiers.py.
_OF_LANGUAGE = "\u0790"
_WORD = re.compile(rf"(?:[^\W_][{SIGNS}]*)+")
_ASCII_WORD = re.compile(r"[A-Za-z0-9]+")
_STOP_WORDS = FUNCTION_WORDS | {ENGLISH: frozenset(ENGLISH_STOP_WORDS)}


class Word(NamedTuple):
    """A lower-cased word of a query, and its terms in the languages of the index. Each text has one of them at most."""

    text: str
    terms: tuple[str, ...]
    is_content: bool = True


@dataclass(frozen=True)
class AnalyzedText:
    """A text to index: words for the English analyzer, or the terms of another language."""

    language: str
    words: str = ""
    terms: tuple[str, ...] = ()


def analyze(text: str) -> AnalyzedText:
    """Prepare a text for the index."""
    text = normal_form(text)
    language = language_of(text)
    names, pieces = emphasis.emphasized(text), list[str]()
    for word in identifiers.marked_words(text):
        names += identifiers.wholes(word)
        pieces += identifiers.parts(word)
    if not text.isascii() and unspaced.has_unspaced(text):
        names += unspaced.pairs(text, with_single=True)
        text = unspaced.without_unspaced(text)
    if language == compounds.GERMAN:
        pieces += compounds.parts_of_compounds(text)
    text = " ".join([text, *pieces])
    if language == ENGLISH:
        return AnalyzedText(language, " ".join([text, *names]))
    return AnalyzedText(language, terms=(*_stems(language, text), *english_terms(" ".join(names))))


def terms_of(text: str) -> list[str]:
    """Return the terms of a text in order, as often as they occur."""
    analyzed = analyze(text)
    return english_terms(analyzed.words) if analyzed.language == ENGLISH else list(analyzed.terms)


def query_words(query: str, languages: Sequence[str] = LANGUAGES) -> list[Word]:
    """Return the words of a query with their terms in these languages."""
    query = normal_form(query)
    pairs = [] if query.isascii() else unspaced.pairs(query)
    words = list(_plain_words(unspaced.without_unspaced(query) if pairs else query, languages))
    for word in identifiers.marked_words(query):
        words += [Word(piece.lower(), _terms(piece, languages)) for piece in identifiers.parts(word)]
        words += [Word(name, tuple(english_terms(name))) for name in identifiers.wholes(word)]
    return words + [Word(pair, (pair,), not unspaced.is_function_pair(pair)) for pair in pairs]


def searched_terms(words: Iterable[Word]) -> list[str]:
    """Return the terms to search: those of content words, or of all words if there are no others."""
    words = [word for word in words if word.terms]
    searched = [word for word in words if word.is_content] or words
    return [term for word in searched for term in word.terms]


def english_terms(words: str) -> list[str]:
    return english_analyzer().analyze(words)


@cache
def english_analyzer() -> "tantivy.TextAnalyzer":
    """Make the analyzer of English: runs of letters and digits, lower-cased, without accents, stemmed."""
    import tantivy

    builder, step = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()), tantivy.Filter
    builder = builder.filter(step.remove_long(MAX_WORD_BYTES)).filter(step.lowercase()).filter(step.ascii_fold())
    return builder.filter(step.stemmer(ENGLISH)).build()


def _plain_words(query: str, languages: Sequence[str]) -> Iterator[Word]:
    """The words, and for an English stop word that is a name also its term with capital letters."""
    language = language_of(query)
    matches = list((_ASCII_WORD if query.isascii() else _WORD).finditer(query))
    words = [match.group() for match in matches]
    is_english, stop_words = language == ENGLISH, _STOP_WORDS.get(language, frozenset())
    flags = emphasis.content_flags(query, matches) if is_english else [word.lower() not in stop_words for word in words]
    for word, is_content in zip(words, flags, strict=True):
        text = word.lower()
        yield Word(text, _terms(word, languages), is_content)
        if is_english and is_content and text in stop_words:
            yield Word(text, tuple(english_terms(emphasis.as_term(word))))


def _terms(word: str, languages: Sequence[str]) -> tuple[str, ...]:
    if len(languages) == 1:
        return _stems_of_word(languages[0], word)
    return tuple(term for language in languages for term in _stems_of_word(language, word))


@lru_cache(MAX_CACHED_WORDS)
def _stems_of_word(language: str, word: str) -> tuple[str, ...]:
    return tuple(_stems(language, word))


def _stems(language: str, text: str) -> list[str]:
    if language == ENGLISH:
        return english_terms(text)
    return [f"{language}{_OF_LANGUAGE}{stem}" for stem in _analyzer(language).analyze(text.casefold())]


@cache
def _analyzer(language: str) -> "tantivy.TextAnalyzer":
    """Make the analyzer of another language. Accents are removed after stemming, because stemmers need them."""
    import tantivy

    step: Any = tantivy.Filter
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.regex(r"[\w--_]+"))
    builder = builder.filter(step.remove_long(MAX_FOREIGN_BYTES)).filter(step.lowercase())
    if language != OTHER:
        builder = builder.filter(step.stemmer(language))
    return builder.filter(step.ascii_fold()).build()
