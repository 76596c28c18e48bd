"""A passage's sentences and their stems, cached: they do not depend on the question.

The same few passages answer many questions. In the RAGPulse trace (arXiv 2511.12979), 82 % of the retrieved passages
had occurred within the last 1,000 requests.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.generation.sentences import Span, looks_like_code, sentence_spans
from models.generation.words import stem, words
from models.types.chunks import Passage

MAX_CACHED_TEXTS = 1024  # about 15 KB each

# A line with at most this many words and without a full stop counts as a heading.
_MAX_HEADING_WORDS = 7


@dataclass(frozen=True)
class Sentence:
    """Characters `span` of a text, their words in order, and their stems. `is_heading`: see the function."""

    span: Span
    text: str
    words: tuple[str, ...]
    stems: frozenset[str]
    is_heading: bool


@lru_cache(MAX_CACHED_TEXTS)
def sentences(text: str) -> tuple[Sentence, ...]:
    """The units of `text` as sentence_spans cuts them, in order."""
    return tuple(sentence(text, span) for span in sentence_spans(text))


def sentence(text: str, span: Span) -> Sentence:
    """Characters `span` of `text` as one unit."""
    piece = text[slice(*span)]
    piece_words = tuple(words(piece))
    return Sentence(span, piece, piece_words, frozenset(map(stem, piece_words)), is_heading(piece))


@lru_cache(MAX_CACHED_TEXTS)
def stems_and_size(text: str) -> tuple[frozenset[str], int]:
    """The stems of the text's words, and the number of words."""
    text_words = words(text)
    return frozenset(map(stem, text_words)), len(text_words)


def is_heading(text: str) -> bool:
    """Whether a unit introduces an answer: a heading, a question, or a short line without a full stop.

    A whole sentence that ends in a colon is not a heading: it often has the answer itself.
    """
    if not text or "\n" in text or looks_like_code(text):
        return False
    is_short = len(words(text)) <= _MAX_HEADING_WORDS
    return text.startswith("#") or text[-1] == "?" or (is_short and (text[-1] == ":" or text[-1].isalnum()))


def spans_in_indexed_text(passage: Passage) -> NDArray[np.int64]:
    """The characters (n, 2) of the passage's sentences in its indexed text."""
    offset = len(passage.indexed_text) - len(passage.text)
    return np.array([sentence.span for sentence in sentences(passage.text)], np.int64).reshape(-1, 2) + offset
