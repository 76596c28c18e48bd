"""The protocol of answers: a question in, events out. A cache, a conversation or an agent wraps `Answering`."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from models.filters import Filter
from models.generation.citations import Citation, Marker
from models.types import ChatMessage, Passage, RequestContext, SamplingOptions, Scope
from serve.pipelines.retrieving import RetrievalOptions
from serve.pipelines.trace import Trace

Extra = Literal["refuse", "ignore"]


@dataclass(frozen=True)
class Query:
    """One question: `messages` is the conversation, the question last; `top_k` passages may be used for the answer.

    `extra`: what happens to options that the model cannot follow. `search_query` is searched in place of the question.
    """

    messages: tuple[ChatMessage, ...]
    scope: Scope
    top_k: int
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    where: Filter | None = None
    options: RetrievalOptions = field(default_factory=RetrievalOptions)
    extra: Extra = "refuse"
    search_query: str = ""

    @property
    def searched(self) -> str:
        """The text that is searched: the question, made complete from the conversation if it is a follow-up."""
        return self.search_query or self.text

    @property
    def text(self) -> str:
        return self.messages[-1].content


@dataclass(frozen=True)
class PassagesFound:
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class TextGenerated:
    text: str


@dataclass(frozen=True)
class Cited:
    citation: Citation


@dataclass(frozen=True)
class Answered:
    """The whole answer, sent last. `markers` are the places of its citations in the text, in order.

    `evidence`, 0 to 1: see models/generation/evidence.py; None if nothing weighed it. `answerable`: it suffices.
    """

    text: str
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]
    finish_reason: str
    num_prompt_tokens: int
    num_completion_tokens: int
    trace: Trace
    markers: tuple[Marker, ...] = ()
    evidence: float | None = None
    answerable: bool = True
    search_query: str = ""


Event = PassagesFound | TextGenerated | Cited | Answered


class Answering(Protocol):
    def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """PassagesFound, then text and citations as they come, `Answered` last. Closing it frees what is inside.

        Raises RagError when no answer is possible.
        """
