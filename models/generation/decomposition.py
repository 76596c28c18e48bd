"""A compound question in its parts: by a rule, or by a language model.

"What is the penalty and how long is the warranty?" asks two things, which may stand in different documents.
"""

import re
from collections.abc import Sequence

from models.generation.follow_up import search_query, stands_alone
from models.generation.question_words import content_words
from models.generation.rewriting import read_rewritten
from models.generation.words import distinct
from models.prompts.prompt_set import UnderstandingTexts
from models.types.generation import ChatMessage

MAX_TOKENS = 128
MAX_CHARS = 2_000  # longer texts are no compound questions

_WH = (
    r"what|which|who|whom|whose|when|where|why|how|welche[rsnm]?|wer|wem|wen|wann|wo|warum|wieso|wie|woher|wohin"
    r"|quels?|quelles?|qui|quand|où|pourquoi|comment|combien|qué|cuál(?:es)?|quién(?:es)?|cuándo|dónde|cómo|cuánt[oa]s?"
)
_YES_NO = r"(?:is|are|was|were|do|does|did|can|will|has|have|must)\s+(?:there|it|the|a|an|they|he|she|this|you|we|i)"
_AND = r"(?:and also|and|as well as|und|sowie|et|y)"
_BREAK = re.compile(
    rf"(?<=\?)\s{{1,9}}(?:{_AND}\s{{1,9}})?(?=[\w¿])|(?<=？)\s{{0,9}}(?=\w)"
    rf"|\s{{0,9}}[,;]?\s{{1,9}}{_AND},?\s{{1,9}}(?=(?:(?:in|at|on|for|by|from|to)\s)?(?:(?:{_WH})\b|{_YES_NO}\b))"
    rf"|\s{{0,9}},?\s{{1,9}}und\s{{1,9}}(?=was\b)|\s{{0,9}};\s{{1,9}}(?=(?:{_WH})\b)",
    re.IGNORECASE,
)
_ASKS = re.compile(
    rf"\b(?:{_WH})\b|^\W*(?:(?:please|then)\s)?(?:is|are|was|were|do|does|did|can|could|will|would|has|have|must|should"
    r"|explain|describe|tell|list|name|give|show|compare|nenne|erkläre|ist|sind|hat|kann|est-ce|es|son|está)\b",
    re.IGNORECASE,
)
_LINE_START = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.):])?\s*")


def split_question(text: str, max_parts: int) -> tuple[str, ...]:
    """The parts of a question by its own words; one part if it asks one thing."""
    if len(text) > MAX_CHARS:
        return (text,)
    pieces = [piece.strip(" ,;") for piece in _BREAK.split(text.strip())]
    pieces = distinct(filter(None, pieces), lambda piece: piece.casefold().rstrip("?？ "))
    if len(pieces) < 2 or not all(map(_is_question, pieces)):
        return (text,)
    head, tail = pieces[: max_parts - 1], pieces[max_parts - 1 :]
    return tuple(_as_question(piece) for piece in [*head, " and ".join(tail)] if piece)


def splitting_messages(text: str, texts: UnderstandingTexts) -> list[ChatMessage]:
    """The prompt for the parts."""
    examples = [
        message
        for example in texts.split.examples
        for message in (ChatMessage("user", example.user), ChatMessage("assistant", example.assistant))
    ]
    return [ChatMessage("system", texts.split.instructions), *examples, ChatMessage("user", text)]


def read_parts(written: str, text: str, max_parts: int) -> tuple[str, ...]:
    """The questions that a model wrote; empty if they are not several, too many, or about something else."""
    lines = [_LINE_START.sub("", line, count=1) for line in written.splitlines() if line.strip()]
    messages = [ChatMessage("user", text)]
    parts = tuple(dict.fromkeys(question for line in lines if (question := read_rewritten(line, messages))))
    return parts if 2 <= len(parts) == len(lines) <= max_parts else ()


def searched_parts(parts: Sequence[str]) -> list[str]:
    """What to search for each part: with the words of the first where it does not stand alone."""
    first = ChatMessage("user", parts[0])
    return [parts[0], *(_complete(first, later) for later in parts[1:])]


def _complete(first: ChatMessage, later: str) -> str:
    return later if stands_alone(later) else search_query([first, ChatMessage("user", later)])


def _is_question(piece: str) -> bool:
    """Whether it asks, and says about what: "X paid for Y and which other film?" is one question."""
    return bool(_ASKS.search(piece)) and bool(set(content_words(piece)) - _ASKING) and len(piece.split()) > 1


def _as_question(piece: str) -> str:
    return piece if piece[-1] in "?？.!" else f"{piece}?"


_QUESTION_WORDS = (
    "what which who whom whose when where why how welche wer wann wo warum wie quel quelle qui quand comment"
)
_ASKING = frozenset(_QUESTION_WORDS.split())
