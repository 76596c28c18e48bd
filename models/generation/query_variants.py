"""Other texts to search for a question: other wordings of it, and a passage that might answer it."""

import re

from models.generation.keyword_query import rewrite
from models.generation.rewriting import read_rewritten
from models.prompts.prompt_set import UnderstandingTexts
from models.types.generation import ChatMessage

MAX_TOKENS = 160
MAX_PASSAGE_CHARS = 1_000
_LINE_START = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.):])?\s*")


def wording_messages(question: str, number: int, texts: UnderstandingTexts) -> list[ChatMessage]:
    """The prompt for `number` other wordings."""
    return [ChatMessage("system", texts.wordings.format(number=number)), ChatMessage("user", question)]


def read_variants(written: str, question: str, number: int) -> tuple[str, ...]:
    """Up to `number` wordings that a model wrote, each about the question and other than it."""
    lines = (_LINE_START.sub("", line, count=1) for line in written.splitlines() if line.strip())
    messages = [ChatMessage("user", question)]
    variants = dict.fromkeys(variant for line in lines if (variant := read_rewritten(line, messages)))
    return tuple(variant for variant in variants if variant.casefold() != question.casefold())[:number]


def keyword_variants(question: str) -> tuple[str, ...]:
    """Without a model: the keywords of the question; none if they are the whole question."""
    keywords = rewrite(question)
    return () if keywords.casefold() == question.strip().casefold() else (keywords,)


def passage_messages(question: str, texts: UnderstandingTexts) -> list[ChatMessage]:
    """The prompt for a made-up passage."""
    return [ChatMessage("system", texts.passage), ChatMessage("user", question)]


def read_passage(written: str) -> str:
    """The passage on one line; empty if there is none."""
    return " ".join(written.split())[:MAX_PASSAGE_CHARS]
