"""Plain data that crosses layers and replicas: frozen dataclasses and float32 arrays.

Frozen dataclasses without slots pickle faster than slotted ones or pydantic models. A numpy array pickles in less than
half the time of a list of floats.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.answer_form import AnswerForm, AnswerPrompt, AnswerStep
from models.deadline import Deadline
from models.filters import Attributes
from models.functions import CallDelta, Functions, ToolCall
from models.location import Location, locate

FloatArray = NDArray[np.float32]
HalfArray = NDArray[np.float16]
KeyArray = NDArray[np.int64]

DEFAULT_TENANT = "default"
CANARY_TENANT = "canary:documents"  # no keys file can name it: see serve/access/keys.py
DEFAULT_VECTOR_STORE = "default"

FellBack = tuple[tuple[str, str], ...]  # models of a stage's list that did not answer: the alias, and why

NORMAL_PRIORITY = 0  # a client waits for the answer
BACKGROUND_PRIORITY = -1  # ingestion and migration


@dataclass(frozen=True)
class Scope:
    """The vector stores to search, of one tenant. The tenant is always an argument, never a context variable."""

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
    """The result of a keyword search: the hits, and the weight of each word of the query.

    `term_weights` maps a lower-cased word of the query to its inverse document frequency in the searched stores. A
    word that is in no chunk has the highest weight.
    """

    ranking: Ranking
    term_weights: dict[str, float]


def indexed_text(context: str, text: str) -> str:
    """Return the text of a chunk for embedding, keyword search and reranking: its headings, then its text."""
    return f"{context}\n{text}" if context else text


@dataclass(frozen=True)
class Passage:
    """A chunk as a search returns it. `text` is characters `start` to `end` of the file's extracted text.

    `attributes` are the file's. `source_map` says where its parts stand in the file (models/location.py); empty if that
    is unknown. `shown`: see Chunk.
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
    source_map: str = ""
    shown: tuple[int, int] | None = None

    @property
    def is_from_file(self) -> bool:
        """Whether it is a stored chunk. The context of a request and what is remembered have no positive key."""
        return self.key > 0

    @property
    def indexed_text(self) -> str:
        return indexed_text(self.context, self.text)

    def scored(self, score: float) -> "Passage":
        """Return a copy with another score. Takes a third of the time of dataclasses.replace, for every candidate."""
        place = (self.key, self.chunk_id, self.file_id, self.filename, self.text, self.start, self.end)
        return Passage(*place, self.context, self.attributes, score, self.source_map, self.shown)

    def location_of(self, start: int, end: int) -> Location | None:
        """Where characters `start` to `end` of the file's extracted text stand in the file. None: unknown."""
        return locate(self.source_map, self.text, self.start, start, end)

    @property
    def location(self) -> Location | None:
        """Where the passage stands in the file: its page, slide, rows or lines. None: unknown."""
        return self.location_of(self.start, self.end)


@dataclass(frozen=True)
class Chunk:
    """A piece of a file's extracted text, before it is stored: `text == document.text[start:end]`.

    `context` is the title and headings above it, outermost first, joined by " > ", and the names of the columns if it
    begins in the rows of a table. `num_tokens` counts the embedding model's tokens in `text`, without special tokens.
    `source_map` is as in Passage; models/documents/locate.py sets it.
    `shown`: the characters, start and end, that a search shows in place of the chunk; None for the chunk itself.
    """

    text: str
    start: int
    end: int
    context: str
    num_tokens: int
    shown: tuple[int, int] | None = None
    source_map: str = ""

    @property
    def indexed_text(self) -> str:
        return indexed_text(self.context, self.text)


@dataclass(frozen=True)
class ChatMessage:
    """One message of a conversation. `role` is system, user, assistant or tool.

    `calls` are those of the assistant. `call_id` names the call whose result a message of a tool is.
    """

    role: str
    content: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""


def last_question(messages: Sequence[ChatMessage]) -> str:
    """The text of the user's last message. Calls of functions and their results may follow it."""
    return next((message.content for message in reversed(messages) if message.role == "user"), messages[-1].content)


@dataclass(frozen=True)
class SamplingOptions:
    """Options of decoding. None means the model's default. `max_tokens` limits the generated tokens.

    `response_schema` is a JSON schema that the text must satisfy; it then has no citations. `adapter` names a LoRA
    adapter of the model.
    """

    max_tokens: int = 512
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    response_schema: dict[str, Any] | None = None
    adapter: str | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


@dataclass(frozen=True)
class GenerationRequest:
    """A conversation that ends with the user's question, and the passages to answer it from.

    `passages` are in the order of the prompt; the answer cites their numbers. `relevance_order` has the indexes of the
    passages, from 0, the most relevant first. If it is empty, `passages` itself is in that order. `sentence_scores`
    has for each passage the MaxSim of the question and each of its sentences (models/generation/reading.py), NaN where
    it is unknown. It is empty if none are known. `evidence`: see models/generation/evidence.py; None if it is unknown.
    `search_query`: the question, complete without the conversation; empty if it is the last message. `is_strict`:
    sentences that no passage supports are left out. `form`: what was chosen for the answer. `prompt`: its texts; None:
    the default. `step`: this call is one of several, and reads the passages of the step alone; None: the only one.
    `is_whole`: a conversation beyond the model's window is refused, not cut. `functions`: those that the model may
    call; then the conversation may have calls and results, also after the question. None: it has none of them.
    `trace_context`: the traceparent of the request, for an engine that exports spans of its own; empty: it has none.
    """

    request_id: str
    messages: tuple[ChatMessage, ...]
    passages: tuple[Passage, ...]
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    term_weights: dict[str, float] = field(default_factory=dict)
    relevance_order: tuple[int, ...] = ()
    sentence_scores: tuple[FloatArray, ...] = ()
    evidence: float | None = None
    search_query: str = ""
    is_strict: bool = False
    form: AnswerForm = field(default_factory=AnswerForm)
    prompt: AnswerPrompt | None = None
    step: AnswerStep | None = None
    is_whole: bool = False
    functions: Functions | None = None
    trace_context: str = ""

    @property
    def best_first(self) -> tuple[int, ...]:
        """The indexes of the passages, from 0, the most relevant first."""
        if self.step is not None:
            return self.step.places
        return self.relevance_order or tuple(range(len(self.passages)))

    @property
    def question(self) -> str:
        """The question that was searched: complete without the conversation."""
        return self.search_query or last_question(self.messages)


@dataclass(frozen=True)
class CompletionRequest:
    """A request in OpenAI's format. `body` is the validated body of a chat completion or a completion.

    `trace_context`: as in GenerationRequest.
    """

    request_id: str
    kind: Literal["chat", "completion"]
    body: dict[str, Any]
    trace_context: str = ""


@dataclass(frozen=True)
class Mark:
    """Characters `start` to `end` of a delta's text are the marker of passage `number`, counted from 1.

    The marker cites characters `quote` of the passage's text.
    """

    start: int
    end: int
    number: int
    quote: tuple[int, int]


@dataclass(frozen=True)
class GenerationDelta:
    """The text generated since the last delta. The final delta has `finish_reason` (stop or length) and the counts.

    `model` is the catalog alias of the model that wrote the text. `failed_canary` is the alias of a canary that failed
    to answer first. `marks` has all markers of the text, in order. None: a language model wrote them, so
    they must be read from the text. The last delta has in `left_out` the sentences that no passage supports, and in
    `is_partial` whether there was too little time for the whole text, or for all steps to it. `fell_back`: the models
    before this one in the stage's list. `calls` are pieces of calls of functions. `stale_s`: the age in
    seconds of a text that was written for an equal request before; None: it is new.
    """

    text: str
    finish_reason: str | None = None
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0
    model: str = ""
    failed_canary: str = ""
    marks: tuple[Mark, ...] | None = None
    left_out: tuple[str, ...] = ()
    is_partial: bool = False
    fell_back: FellBack = ()
    calls: tuple[CallDelta, ...] = ()
    stale_s: float | None = None


@dataclass(frozen=True)
class Embeddings:
    """Unit vectors (n, dim) float32, the generation (vector space) they belong to, and the alias of their model.

    `num_tokens` counts the input tokens, special tokens included. On request, and if the model has token vectors:
    `token_codes` are those of each document, encoded for storage; `query_tokens` (t, dim) unit rows are those of a
    single query, and `query_spans` (t, 2) the characters of each in the query, start and end. `fell_back`: the models
    before the one that embedded a query, and why they did not.
    """

    vectors: FloatArray
    generation: str
    model: str
    num_tokens: int = 0
    token_codes: tuple[bytes, ...] = ()
    query_tokens: HalfArray | None = None
    query_spans: NDArray[np.int64] | None = None
    fell_back: FellBack = ()


@dataclass(frozen=True)
class Reranking:
    """One float32 score per candidate (n,), in the candidates' order, and the alias of the model that scored them.

    NaN is the score of a candidate that the model had no time to read. At least one was read.
    `failed_canary` is the alias of a canary that failed, so that `model` scored the candidates instead. `relevance` is
    the highest relevance of a candidate by the model alone, 0 to 1; None if it is unknown. `num_tokens`: those that
    the model read for these scores, special tokens included; 0 where it read none, as with stored token vectors.
    """

    scores: FloatArray
    model: str
    failed_canary: str = ""
    relevance: float | None = None
    fell_back: FellBack = ()
    num_tokens: int = 0

    @property
    def is_partial(self) -> bool:
        """Whether the model had no time to read some candidates."""
        return bool(np.isnan(self.scores).any())


@dataclass(frozen=True)
class Relevance:
    """Relevance (n,), 0 to 1, and raw model scores (n,), in the order of the candidates.

    `failed_canary` is as in Reranking.
    """

    relevance: FloatArray
    scores: FloatArray
    model: str
    num_tokens: int = 0
    failed_canary: str = ""
    fell_back: FellBack = ()


@dataclass(frozen=True)
class ParsedFile:
    """A file's extracted text and its chunks, in order.

    `omissions` counts what the parser left out on purpose, by its name in the plural: ("hidden passages", 2). `doubt`
    says why the text may be wrong, "" if nothing speaks against it. On request of the vector store: `masked` counts the
    masked pieces of personal data by kind, `derived` has the attributes that the text tells, and `sketch` finds
    near-duplicates (models/enrichment/sketch.py).
    """

    text: str
    chunks: tuple[Chunk, ...]
    omissions: tuple[tuple[str, int], ...] = ()
    doubt: str = ""
    masked: tuple[tuple[str, int], ...] = ()
    derived: Attributes = field(default_factory=dict)
    sketch: bytes = b""


@dataclass(frozen=True)
class RequestContext:
    """The sender, priority and deadline of a request: an argument of every stage.

    A higher `priority` is more urgent. `trace_context` is a W3C traceparent, or empty. Without `use_caches` the request
    neither reads nor fills a cache. Never send this to another process, whose clock differs: send an Envelope
    (deployments/calls/envelope.py).
    """

    request_id: str
    tenant: str
    deadline: Deadline
    priority: int = NORMAL_PRIORITY
    trace_context: str = ""
    use_caches: bool = True

    # Set by the client, who may wait for less than others: its work is not shared with equal requests.
    is_hurried: bool = False

    def remaining_s(self) -> float:
        """Return the seconds left, never negative."""
        return self.deadline.remaining_s()

    def at_most(self, budget_s: float) -> "RequestContext":
        """Return a copy whose deadline is the earlier of its own and `budget_s` from now."""
        return replace(self, deadline=self.deadline.at_most(budget_s))
