"""The protocol of answers: a question in, events out. A cache, a conversation or an agent wraps `Answering`."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from models.answer_form import AnswerForm
from models.corpus.turn_vectors import TurnSource
from models.filters import Filter
from models.functions import CallDelta, Functions, ToolCall
from models.generation.citations import Citation, Marker
from models.generation.structured import FieldSupport
from models.generation.support import Unsupported
from models.prompts.library import default_prompts
from models.prompts.prompt_set import PromptSet
from models.types.chunks import Passage
from models.types.generation import ChatMessage, SamplingOptions, last_question
from models.types.request_context import RequestContext
from models.types.scope import Scope
from serve.pipelines.retrieving import RetrievalOptions
from serve.pipelines.trace import Trace

Extra = Literal["refuse", "ignore"]
Grounded = Literal["mark", "strict"]


@dataclass(frozen=True)
class Turn:
    """A stored message of a conversation. `role` is user or assistant."""

    item_id: str
    role: str
    text: str


@dataclass(frozen=True)
class Memory:
    """What an answer may remember: the stored `turns` before the question, oldest first, and what a user said.

    `source` says where the turns are stored; None if there are none. `user_id`: whose facts are read; empty: nobody's.
    `keeps_facts`: those in the question are kept as well.
    """

    source: TurnSource | None = None
    turns: tuple[Turn, ...] = ()
    user_id: str = ""
    keeps_facts: bool = False


@dataclass(frozen=True)
class Query:
    """One question: `messages` is the conversation, the question last; `top_k` passages may be used for the answer.

    `extra`: what happens to options that the model cannot follow. `search_query` is searched in place of the question.
    `grounded`: sentences that no passage supports are marked, or left out. `names_documents`: the request names what to
    search. If not, a context in its messages takes the place of the documents where the model only quotes. `form`: what
    the request chooses for the answer; `store_form`: what its vector stores choose where it does not. `prompts`: the
    texts that the model and the reader get. `is_whole`: a conversation beyond the model's window is refused, not cut.
    `functions`: as in GenerationRequest; calls and their results may then follow the question.
    `memory`: see the class; None for a lone request. `recalled`: passages from it, which a model reads beside those of
    the documents.
    """

    messages: tuple[ChatMessage, ...]
    scope: Scope
    top_k: int
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    where: Filter | None = None
    options: RetrievalOptions = field(default_factory=RetrievalOptions)
    extra: Extra = "refuse"
    search_query: str = ""
    grounded: Grounded = "mark"
    names_documents: bool = True
    form: AnswerForm = field(default_factory=AnswerForm)
    store_form: AnswerForm = field(default_factory=AnswerForm)
    prompts: PromptSet = field(default_factory=default_prompts)
    is_whole: bool = False
    functions: Functions | None = None
    memory: Memory | None = None
    recalled: tuple[Passage, ...] = ()

    @property
    def searched(self) -> str:
        """The text that is searched: the question, made complete from the conversation if it is a follow-up."""
        return self.search_query or self.text

    @property
    def text(self) -> str:
        return last_question(self.messages)


@dataclass(frozen=True)
class PassagesFound:
    """What was retrieved. `answerable`: as in Answered, before anything is generated.

    `queries`: what was searched; nothing for a greeting.
    """

    passages: tuple[Passage, ...]
    answerable: bool = True
    queries: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextGenerated:
    text: str


@dataclass(frozen=True)
class CallGenerated:
    """A piece of a call of a client's function."""

    piece: CallDelta


@dataclass(frozen=True)
class Cited:
    citation: Citation


@dataclass(frozen=True)
class Answered:
    """The whole answer, sent last. `markers` are the places of its citations in the text, in order.

    `evidence`, 0 to 1: see models/generation/evidence.py; None if nothing weighed it. `answerable`: it suffices.
    `unsupported`: sentences of a language model that no passage supports, in the text or left out of it. `prompt`: the
    name of the prompt set. `fields`: what supports each field of a JSON answer. `ignored`: the fields of the request
    that the model cannot follow, left out as the request allows. `calls` are those of the client's functions.
    `is_small_talk`: the reply to a greeting or to thanks, which asked nothing.
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
    unsupported: tuple[Unsupported, ...] = ()
    prompt: str = ""
    fields: tuple[FieldSupport, ...] = ()
    ignored: tuple[str, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    is_small_talk: bool = False

    @property
    def outcome(self) -> str:
        """As metrics and traces name it: small_talk, declined, cited or uncited."""
        if self.is_small_talk:
            return "small_talk"
        if not self.answerable:
            return "declined"
        return "cited" if self.citations else "uncited"


Event = PassagesFound | TextGenerated | CallGenerated | Cited | Answered


class Answering(Protocol):
    def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """PassagesFound, then text and citations as they come, `Answered` last. Closing it frees what is inside.

        Raises RagError when no answer is possible.
        """
