"""Which sentences of a generated answer no passage supports: by their words and numbers.

Measured on sentences that people wrote from passages, and on passages about something else (docs/quality.md). Words do
not show a false negation, nor who did what to whom.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from models.generation.reading import MAX_CACHED_TEXTS, sentences
from models.generation.relevance import STOP_WORDS
from models.generation.sentences import Span, sentence_spans
from models.generation.words import stem, words
from models.languages.detection import language_of
from models.languages.function_words import FUNCTION_WORDS
from models.languages.stop_words import ENGLISH
from models.types.chunks import Passage

# The fraction of a sentence's content words that must stand in WINDOW consecutive sentences of one passage, with its
# headings. Of MTRAG-UN's answers 90 % of the sentences reach it in their own passages, and 1 % in another question's.
MIN_WORDS = 0.5
WINDOW = 3

_MARKER = re.compile(r"\[[1-9]\d{0,2}(?: ?, ?[1-9]\d{0,2})*\]")
_MARKERS_AFTER = re.compile(rf"(?:[ \t]*{_MARKER.pattern})*[.。]?")
_LIST_NUMBER = re.compile(r"^\s*\(?\d{1,3}[.)]\s+")
_SPACED_MARKER = re.compile(rf"[ \t]*{_MARKER.pattern}")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)$")
_THOUSANDS = re.compile(r"(?<=\d)[,.'’](?=\d{3}(?!\d))")
_STOP_STEMS = frozenset(stem(word) for word in {*STOP_WORDS, *ENGLISH})
# Words about the answer itself: a sentence of nothing else claims nothing, such as "The passages do not say so."
_ABOUT_ANSWERS = frozenset(
    stem(word)
    for word in words(
        "answer answers based below context contain contains cannot document documents enough find following found "
        "given here information know known mention mentioned mentions no not passage passages please provide provided "
        "provides question questions relevant say says source sources sorry state states summary sure text texts "
        "unable unfortunately unknown yes dokument dokumente enthalten enthält frage antwort nicht keine leider "
        "documento documentos respuesta pregunta contiene contienen document réponse contient contiennent passages"
    )
)


@dataclass(frozen=True)
class Statement:
    """Characters `start` to `end` of an answer: a sentence with the markers after it, and the white space before it."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Unsupported:
    """A sentence that no passage supports: characters `start` to `end` of the answer. None: it was left out."""

    text: str
    start: int | None = None
    end: int | None = None


def statements(text: str) -> list[Statement]:
    """The sentences of an answer in order; together they are the whole text, but for white space at its end."""
    pieces, start = list[Statement](), 0
    for span in sentence_spans(_without_markers(text)):
        end = _end_with_markers(text, span)
        if end > start:
            pieces.append(Statement(start, end, _SPACED_MARKER.sub("", text[start:end]).strip()))
            start = end
    return pieces


def _without_markers(text: str) -> str:
    """The text with spaces in place of its markers, so that all characters keep their places."""
    return _MARKER.sub(lambda match: " " * len(match.group()), text)


def unsupported(text: str, passages: Sequence[Passage]) -> tuple[Unsupported, ...]:
    """The sentences of an answer that no passage supports, without the white space around them."""
    return tuple(
        Unsupported(statement.text, *_trimmed(text, statement))
        for statement in statements(text)
        if not is_supported(statement.text, passages)
    )


def is_claim(sentence: str) -> bool:
    """Whether a sentence says something besides words about the answer itself."""
    return bool(_content(sentence) - _ABOUT_ANSWERS)


def is_supported(sentence: str, passages: Sequence[Passage]) -> bool:
    """Whether a passage has the sentence's numbers and half of its content words.

    A sentence in another language than the passages needs the numbers and one word, such as a name. A sentence that
    claims nothing is supported.
    """
    own = _content(sentence)
    if not own - _ABOUT_ANSWERS:
        return True
    return any(has_numbers(sentence, passage) and _shares_words(passage, sentence, own) for passage in passages)


def has_numbers(sentence: str, passage: Passage) -> bool:
    """Whether the passage, with its headings, has every word of the sentence that has a digit."""
    numbers = {word for word in _content(sentence) if any(map(str.isdigit, word))}
    return not numbers or numbers <= frozenset().union(*_windows(passage.text, passage.context))


def _shares_words(passage: Passage, sentence: str, own: frozenset[str]) -> bool:
    shared = max(len(own & window) for window in _windows(passage.text, passage.context))
    is_foreign = language_of(sentence) != _language(passage.text)
    return shared >= (1 if is_foreign else MIN_WORDS * len(own))


@lru_cache(MAX_CACHED_TEXTS)
def _windows(text: str, context: str) -> tuple[frozenset[str], ...]:
    """The stems of each WINDOW consecutive sentences, each with those of the headings."""
    stems = [normal_stems(sentence.text) for sentence in sentences(text)] or [normal_stems(text)]
    headings = normal_stems(context)
    starts = range(max(1, len(stems) - WINDOW + 1))
    return tuple(headings.union(*stems[start : start + WINDOW]) for start in starts)


@lru_cache(MAX_CACHED_TEXTS)
def _language(text: str) -> str:
    return language_of(text)


def _content(sentence: str) -> frozenset[str]:
    """The stems of the words that say something."""
    stems = normal_stems(_LIST_NUMBER.sub("", sentence)) - _STOP_STEMS
    foreign = FUNCTION_WORDS.get(language_of(sentence), ())
    return stems - frozenset(map(stem, foreign))


def normal_stems(text: str) -> frozenset[str]:
    """The stems of the words, with numbers as 1200 for 1,200 and 3 for 3rd."""
    return frozenset(_normal_words(text))


def _normal_words(text: str) -> Iterator[str]:
    return (_ORDINAL.sub("", stem(word)) for word in words(_THOUSANDS.sub("", text)))


def _end_with_markers(text: str, span: Span) -> int:
    match = _MARKERS_AFTER.match(text, span[1])
    return match.end() if match else span[1]


def _trimmed(text: str, statement: Statement) -> Span:
    piece = text[statement.start : statement.end]
    return statement.start + len(piece) - len(piece.lstrip()), statement.end
