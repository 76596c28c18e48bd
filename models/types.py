"""The plain data that crosses layers and replicas: frozen dataclasses and float32 arrays.

Frozen dataclasses without slots pickle faster than slotted ones or pydantic models, and a numpy array takes less
than half the time of a list of floats, so these are what travels between replicas.
"""

import math
import time
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.filters import Attributes

FloatArray = NDArray[np.float32]
KeyArray = NDArray[np.int64]

DEFAULT_TENANT = "default"
DEFAULT_VECTOR_STORE = "default"

NORMAL_PRIORITY = 0  # somebody waits for the answer
BACKGROUND_PRIORITY = -1  # ingestion and migration


@dataclass(frozen=True)
class Scope:
    """Where a search may look. The tenant is an argument all the way down, never a context variable."""

    tenant: str
    vector_store_ids: tuple[str, ...]


@dataclass(frozen=True)
class Ranking:
    """Hits of one query, best first: `keys` (n,) int64 chunk keys and their `scores` (n,) float32, higher is better."""

    keys: KeyArray
    scores: FloatArray

    @staticmethod
    def empty() -> "Ranking":
        return Ranking(np.empty(0, np.int64), np.empty(0, np.float32))

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class LexicalRanking:
    """What keyword search knows of a query: its hits, and the weight of each of the query's words.

    `term_weights` maps a lower-cased word of the query to its inverse document frequency in the searched
    stores; a word that the corpus never uses has the highest weight.
    """

    ranking: Ranking
    term_weights: dict[str, float]


def indexed_text(context: str, text: str) -> str:
    """What embedding, keyword search and reranking read of a chunk: the headings above it, then its text."""
    return f"{context}\n{text}" if context else text


@dataclass(frozen=True)
class Passage:
    """A chunk as an answer sees it: `text` is characters `start` to `end` of the file's extracted text.

    `attributes` are its file's.
    """

    key: int
    chunk_id: str
    file_id: str
    filename: str
    text: str
    start: int
    end: int
    context: str = ""
    attributes: Attributes = field(default_factory=dict)
    score: float = 0.0

    @property
    def indexed_text(self) -> str:
        return indexed_text(self.context, self.text)

    def scored(self, score: float) -> "Passage":
        """The same with another score. In a third of the time of dataclasses.replace: every candidate passes here."""
        return Passage(
            self.key,
            self.chunk_id,
            self.file_id,
            self.filename,
            self.text,
            self.start,
            self.end,
            self.context,
            self.attributes,
            score,
        )


@dataclass(frozen=True)
class Chunk:
    """A piece of one file's extracted text, before it is stored: `text == document.text[start:end]`.

    `context` is the title and headings above it, outermost first, joined by " > "; `num_tokens` counts the
    embedding model's tokens of `text` without special tokens.
    """

    text: str
    start: int
    end: int
    context: str
    num_tokens: int

    @property
    def indexed_text(self) -> str:
        return indexed_text(self.context, self.text)


@dataclass(frozen=True)
class ChatMessage:
    """One turn of a conversation; `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class SamplingOptions:
    """How to decode. None leaves the model's own default; `max_tokens` counts generated tokens.

    `response_schema` is a JSON schema that the text must satisfy, without citations; `adapter` the model with one of
    its LoRA adapters.
    """

    max_tokens: int = 512
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    response_schema: dict[str, Any] | None = None
    adapter: str | None = None


@dataclass(frozen=True)
class GenerationRequest:
    """A conversation whose last message is the user's question, and the passages to answer it from.

    `passages` are in the order of the prompt, whose numbers the answer cites; `relevance_order` holds their places in
    it, from 0, the most relevant first. Empty: they are best first themselves.
    """

    request_id: str
    messages: tuple[ChatMessage, ...]
    passages: tuple[Passage, ...]
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    term_weights: dict[str, float] = field(default_factory=dict)
    relevance_order: tuple[int, ...] = ()

    @property
    def best_first(self) -> tuple[int, ...]:
        """The places of the passages, from 0, the most relevant first."""
        return self.relevance_order or tuple(range(len(self.passages)))

    @property
    def question(self) -> str:
        return self.messages[-1].content


@dataclass(frozen=True)
class CompletionRequest:
    """A request in OpenAI's own words: `body` is that of chat completions, or of completions, already validated."""

    request_id: str
    kind: Literal["chat", "completion"]
    body: dict[str, Any]


@dataclass(frozen=True)
class GenerationDelta:
    """What was generated since the last delta. The last one carries `finish_reason` (stop or length) and the counts.

    `model` is the catalog alias of the model that wrote it, `failed_canary` that of one on trial that could not.
    """

    text: str
    finish_reason: str | None = None
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0
    model: str = ""
    failed_canary: str = ""


@dataclass(frozen=True)
class Embeddings:
    """Unit vectors (n, dim) float32, the vector space they live in, and the alias of the model that made them.

    `num_tokens` counts what the model read for them, special tokens included.
    """

    vectors: FloatArray
    generation: str
    model: str
    num_tokens: int = 0


@dataclass(frozen=True)
class Reranking:
    """One float32 score a candidate (n,), in the candidates' order, and the alias of the model that gave them.

    `failed_canary` is the alias of a model on trial that did not, and was stood in for.
    """

    scores: FloatArray
    model: str
    failed_canary: str = ""


@dataclass(frozen=True)
class Relevance:
    """A candidate's relevance (n,), 0 to 1, and the model's own score (n,), in the order of the candidates.

    `failed_canary`: as in Reranking.
    """

    relevance: FloatArray
    scores: FloatArray
    model: str
    num_tokens: int = 0
    failed_canary: str = ""


@dataclass(frozen=True)
class ParsedFile:
    """A file's extracted text and its chunks, in order."""

    text: str
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True)
class StageStatus:
    """What a replica says of itself once it can answer; `model` is empty for a stage that holds none.

    `num_unfinished` counts the requests that its engine works on, for a stage that has one; `generation` names the
    vector space of an embedding model. `loading` is the model that is to follow; `error` says why the last one asked
    for did not load; `canary` is the model on trial, which gets `canary_share` of the requests.
    """

    model: str = ""
    num_unfinished: int = 0
    generation: str = ""
    loading: str = ""
    error: str = ""
    canary: str = ""
    canary_share: float = 0.0


@dataclass(frozen=True)
class Deadline:
    """A point on this process's monotonic clock. Never sent to another process: send `remaining_s()`."""

    at: float

    @staticmethod
    def after(budget_s: float) -> "Deadline":
        return Deadline(time.monotonic() + budget_s)

    @staticmethod
    def never() -> "Deadline":
        return Deadline(math.inf)

    def remaining_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    def at_most(self, budget_s: float) -> "Deadline":
        """The earlier of this deadline and `budget_s` from now: a stage's own budget inside the request's."""
        return min(self, Deadline.after(budget_s), key=lambda deadline: deadline.at)


@dataclass(frozen=True)
class RequestContext:
    """Who sent a request, how urgent it is, and when its time is up; one argument of every stage.

    `priority`: higher is more urgent. `trace_context` is a W3C traceparent, or empty. Never sent to another process,
    whose clock differs: an Envelope is (deployments/calls/envelope.py).
    """

    request_id: str
    tenant: str
    deadline: Deadline
    priority: int = NORMAL_PRIORITY
    trace_context: str = ""

    def remaining_s(self) -> float:
        """Seconds left, never negative."""
        return self.deadline.remaining_s()

    def at_most(self, budget_s: float) -> "RequestContext":
        """The same with the earlier of its deadline and `budget_s` from now."""
        return replace(self, deadline=self.deadline.at_most(budget_s))
