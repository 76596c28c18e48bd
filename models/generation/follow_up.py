"""The question to search for a follow-up: the last message, and the words of the question before it.

Measured on 167 turns of MTRAG-UN that have relevant passages (docs/quality.md).
"""

import re
from collections.abc import Sequence

from models.generation.relevance import STOP_WORDS
from models.generation.words import stem, words
from models.types import ChatMessage

_WORD = re.compile(r"[\w'-]+")
_MIN_WORD_CHARS = 3


def search_query(messages: Sequence[ChatMessage]) -> str:
    """The last message of the user, then the content words that the question before it has and this one lacks."""
    questions = [message.content.strip() for message in messages if message.role == "user"]
    if not questions:
        return ""
    added = _new_words(questions[-1], questions[-2]) if len(questions) > 1 else []
    return " ".join([questions[-1], *added])


def _new_words(question: str, earlier: str) -> list[str]:
    stems = {stem(word) for word in words(question)}
    content = (word for word in _WORD.findall(earlier) if len(word) >= _MIN_WORD_CHARS)
    return [word for word in content if word.lower() not in STOP_WORDS and stem(word.lower()) not in stems]
