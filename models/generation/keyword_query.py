"""`rewrite_query` of a search: the question's keywords, or a follow-up made complete from its transcript."""

import re
from collections.abc import Sequence

from models.generation.follow_up import search_query
from models.generation.transcript import read_transcript
from models.languages import emphasis
from models.languages.detection import ENGLISH, language_of
from models.languages.function_words import FUNCTION_WORDS

_VERBS = "tell|show|give|explain|find|describe|help|let"
# What asks for an answer and says nothing about it.
_FRAME = re.compile(
    rf"""^\W*(?:(?:hi|hello|hey|please)\b\W*)*(?:
        (?:can|could|would|will)\ you\ (?:please\ )?(?:(?:{_VERBS})\b\ ?)?(?:(?:me|us)\b\ ?)?(?:know\b\ ?)?
        | i(?:['’]d|\ would)?\ (?:like|want|need)\ to\ (?:know|find|understand|see|learn)\b\ ?(?:out\b)?
        | (?:please\ )?(?:{_VERBS})\ (?:me|us)\b\ ?(?:know\b\ ?)?
    )?""",
    re.I | re.X,
)
_PLEASE = re.compile(r"[\s,]*\bplease\b\W*$", re.I)
_TOKEN = re.compile(r'"[^"]+"|“[^”]+”|\S+')
_WORD = re.compile(r"\w+")
_EDGES = "?!.,;:()[]{}…？！。，、"


def rewrite(text: str) -> str:
    """What to search for a query. A query without a keyword, and one in a script without spaces, stays as it is."""
    messages = read_transcript(text)
    questions = [message.content for message in messages if message.role == "user"]
    if len(questions) > 1:
        return search_query(messages)
    return _keywords(questions[0] if questions else text) or text


def _keywords(question: str) -> str:
    """The words that say what is asked, in order as they were written; quoted phrases keep their quotation marks."""
    framed = _PLEASE.sub("", _FRAME.sub("", question, count=1))
    matches = list(_WORD.finditer(framed))
    content = {match.start() for match, is_content in zip(matches, _flags(framed, matches), strict=True) if is_content}
    tokens = [match for match in _TOKEN.finditer(framed) if content & set(range(*match.span()))]
    return " ".join(token.group() if token.group()[0] in '"“' else token.group().strip(_EDGES) for token in tokens)


def _flags(text: str, matches: Sequence[re.Match[str]]) -> list[bool]:
    language = language_of(text)
    if language == ENGLISH:
        return emphasis.content_flags(text, matches)
    stop_words = FUNCTION_WORDS.get(language, ())
    return [match.group().lower() not in stop_words for match in matches]
