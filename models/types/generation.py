"""A conversation on its way to a generation model, and the text on its way back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from models.answer_form import AnswerForm, AnswerPrompt, AnswerStep
from models.functions import CallDelta, Functions, ToolCall
from models.types.arrays import FloatArray
from models.types.chunks import Passage
from models.types.stage_results import FellBack


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
