"""Answers from the context that a request brings: its passage, and whether it answers the question."""

from collections.abc import Sequence

from models.generation.evidence import Signals, estimate_evidence
from models.generation.prompt_context import read_context
from models.generation.standalone import standalone_question
from models.types.chunks import Passage
from models.types.generation import ChatMessage

PROMPT = "prompt"  # the name under which the request's own context is cited
_MAX_PARAGRAPHS = 200  # more are read as one


def brings_context(messages: Sequence[ChatMessage]) -> bool:
    """Whether a model that quotes can answer without documents: from a context, or with a standalone question."""
    return read_context(messages) is not None or standalone_question(messages) is not None


def prompt_passage(text: str) -> Passage:
    return Passage(0, PROMPT, PROMPT, PROMPT, text, 0, len(text))


def context_evidence(question: str, text: str) -> float:
    """The evidence of the context's paragraphs, by their words alone: no model has read them."""
    paragraphs = [each for each in text.split("\n\n") if each.strip()]
    if len(paragraphs) > _MAX_PARAGRAPHS:
        paragraphs = [text]
    return estimate_evidence(question, tuple(map(prompt_passage, paragraphs)), {}, (), Signals())
