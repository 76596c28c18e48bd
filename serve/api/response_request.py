"""The request of POST /v1/responses: OpenAI's fields, and our own ones of an answer from documents."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from models.answer_form import LengthName
from models.errors.requests import InvalidRequestError
from models.types.generation import SamplingOptions
from serve.api.chat_request import IGNORED, FileSearchTool
from serve.api.client_names import SERVICE_MODEL
from serve.api.ids import UserId
from serve.api.includes import RESULTS, Include
from serve.api.json_schema import JsonSchema
from serve.api.ranking import DegradeOption, SearchMode
from serve.api.response_format import JsonObjectFormat, TextFormat
from serve.api.response_items import ID, MAX_ITEMS, InputItem
from serve.api.sampling import (
    DEFAULT_MAX_TOKENS,
    ExtraOptions,
    Grounding,
    LanguageOption,
    LengthOption,
    MaxTokens,
    ResponseModeOption,
    Temperature,
    TopP,
)
from serve.api.understanding import QueryUnderstanding

FILE_SEARCH, FUNCTION = "file_search", "function"
LOGPROBS = "message.output_text.logprobs"
# Our own, of answers from documents.
DOCUMENT_FIELDS = (
    "mode",
    "degrade",
    "query_understanding",
    "extra",
    "grounded",
    "response_mode",
    "language",
    "length",
    "remember",
)
# OpenAI's `verbosity`. `medium` is its default, so it chooses nothing.
LENGTHS: dict[str, LengthName | None] = {"low": "short", "medium": None, "high": "long"}
Id = Annotated[str, StringConstraints(pattern=ID)]
USER = "Whose facts `remember` keeps and uses; no effect without it."


class Strict(BaseModel):
    """A part of a request that refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SchemaFormat(Strict):
    """JSON that follows this schema. `field_citations` says which citations support which field."""

    type: Literal["json_schema"]
    name: str
    json_schema: JsonSchema = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None

    @property
    def schema_dict(self) -> dict[str, Any]:
        return self.json_schema


class TextOptions(Strict):
    """The form of the answer."""

    format: Annotated[TextFormat | JsonObjectFormat | SchemaFormat, Field(discriminator="type")] | None = None
    verbosity: Literal["low", "medium", "high"] | None = Field(
        default=None, description="low: as `length: short`; high: as `length: long`."
    )


class FunctionTool(Strict):
    """A function of the client's, which a language model may call."""

    type: Literal["function"]
    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class UnknownTool(BaseModel):
    """A tool that this service does not have."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str

    @field_validator("type")
    @classmethod
    def _refuse(cls, kind: str) -> str:
        raise PydanticCustomError(
            "tool",
            "{kind} is not a tool of this service; it has file_search, and function with a language model",
            {"kind": kind[:64]},
        )


def _tool_kind(tool: Any) -> str:
    kind = tool.get("type") if isinstance(tool, dict) else getattr(tool, "type", None)
    return kind if kind in (FILE_SEARCH, FUNCTION) else "unknown"


Tool = Annotated[
    Annotated[FileSearchTool, Tag(FILE_SEARCH)]
    | Annotated[FunctionTool, Tag(FUNCTION)]
    | Annotated[UnknownTool, Tag("unknown")],
    Discriminator(_tool_kind),
]


class NamedTool(Strict):
    """A tool that must be used."""

    type: Literal["file_search", "function"]
    name: str | None = None


class StreamOptions(Strict):
    """How the stream is sent."""

    include_obfuscation: bool | None = Field(default=None, description=IGNORED)


class Reasoning(BaseModel):
    """How much a model thinks. The models of answers from documents do not."""

    model_config = ConfigDict(extra="allow", frozen=True)


class ConversationRef(Strict):
    id: Id


class ResponseInput(Strict):
    """What a model reads for a response."""

    input: str | Annotated[tuple[InputItem, ...], Field(min_length=1, max_length=MAX_ITEMS)] | None = None
    model: str = SERVICE_MODEL
    instructions: str | None = Field(default=None, description="A system message before the input; it is not stored.")
    previous_response_id: Id | None = Field(default=None, description="The response to continue.")
    conversation: Id | ConversationRef | None = Field(
        default=None, description="Its items come before the input; input and output are added to it."
    )
    tools: tuple[Tool, ...] | None = Field(default=None, max_length=128)
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    truncation: Literal["auto", "disabled"] | None = Field(
        default=None,
        description="auto, the default: the oldest turns go when the model's window is full. disabled: that is a 422.",
    )
    reasoning: Reasoning | None = Field(default=None, description="Of a language model without documents.")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, body: Any) -> Any:
        """Drop null fields: they have no effect."""
        if not isinstance(body, dict):
            return body
        return {name: value for name, value in body.items() if value is not None or name not in cls.model_fields}

    @field_validator("tools")
    @classmethod
    def _one_search(cls, tools: tuple[Tool, ...] | None) -> tuple[Tool, ...] | None:
        if sum(isinstance(tool, FileSearchTool) for tool in tools or ()) > 1:
            raise PydanticCustomError("file_search", "send one file_search tool; it takes up to 16 vector stores")
        return tools

    @property
    def file_search(self) -> FileSearchTool | None:
        return next((tool for tool in self.tools or () if isinstance(tool, FileSearchTool)), None)

    @property
    def functions(self) -> tuple[FunctionTool, ...]:
        return tuple(tool for tool in self.tools or () if isinstance(tool, FunctionTool))

    @property
    def conversation_id(self) -> str | None:
        return self.conversation.id if isinstance(self.conversation, ConversationRef) else self.conversation


class CountedInput(ResponseInput):
    """An input whose tokens are counted."""

    personality: str | None = Field(default=None, max_length=64, description=IGNORED)


class CompactedInput(ResponseInput):
    """A conversation that is made short."""

    service_tier: str | None = Field(default=None, description=IGNORED)
    prompt_cache_key: str | None = Field(default=None, description=IGNORED)
    prompt_cache_retention: str | None = Field(default=None, description=IGNORED)
    prompt_cache_options: dict[str, Any] | None = Field(default=None, description=IGNORED)


class ResponseRequest(ResponseInput):
    """OpenAI's request. What cannot be done is refused by the name of its field."""

    input: str | Annotated[tuple[InputItem, ...], Field(min_length=1, max_length=MAX_ITEMS)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    background: bool | None = Field(default=False, description="Answer at once, and write the response meanwhile.")
    store: bool | None = Field(default=True, description="false: keep nothing; the response cannot be continued.")
    metadata: dict[str, str] | None = None
    include: tuple[Include, ...] | None = Field(default=None, max_length=16)
    max_tool_calls: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Answers from documents search once."
    )
    max_output_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_logprobs: Literal[0] | None = None
    user: UserId | None = Field(default=None, description=USER)
    safety_identifier: UserId | None = Field(default=None, description=USER)
    service_tier: str | None = Field(default=None, description=IGNORED)
    prompt_cache_key: str | None = Field(default=None, description=IGNORED)
    prompt_cache_retention: str | None = Field(default=None, description=IGNORED)
    prompt_cache_options: dict[str, Any] | None = Field(default=None, description=IGNORED)
    mode: SearchMode = "auto"
    degrade: DegradeOption = "allow"
    query_understanding: QueryUnderstanding | None = None
    extra: ExtraOptions | None = Field(
        default=None,
        description="null: what a model that quotes cannot follow is left out and named in `ignored`, except a JSON "
        "schema, which is refused. refuse: all of it is refused. ignore: a schema is left out too.",
    )
    grounded: Grounding = "mark"
    response_mode: ResponseModeOption = None
    language: LanguageOption = None
    length: LengthOption = None
    remember: bool | None = Field(
        default=None,
        description="true: the answer may use what the user of `safety_identifier`, else of `user`, said about "
        "themselves in earlier requests, and what is said in this one is kept. Needs `memory.user_facts`.",
    )

    @field_validator("include")
    @classmethod
    def _no_logprobs(cls, include: tuple[Include, ...] | None) -> tuple[Include, ...] | None:
        if include and LOGPROBS in include:
            raise PydanticCustomError(
                "logprobs", "answers have no log probabilities; leave {name} out", {"name": LOGPROBS}
            )
        return include

    @property
    def is_from_documents(self) -> bool:
        """As in chat: a file search, or the service itself as the model. A model that quotes may need them too."""
        return self.file_search is not None or self.model == SERVICE_MODEL

    @property
    def user_id(self) -> str:
        """Whose facts are kept and used; empty without `remember`."""
        return (self.safety_identifier or self.user or "") if self.remember else ""

    @property
    def is_stored(self) -> bool:
        return self.store is not False

    @property
    def includes_results(self) -> bool:
        return RESULTS in (self.include or ())

    @property
    def response_schema(self) -> dict[str, Any] | None:
        return self.text.format.schema_dict if self.text and self.text.format else None

    @property
    def answer_length(self) -> LengthOption:
        return self.length or LENGTHS.get((self.text and self.text.verbosity) or "medium")

    def sampling(self, adapter: str | None) -> SamplingOptions:
        max_tokens = self.max_output_tokens or DEFAULT_MAX_TOKENS
        return SamplingOptions(max_tokens, self.temperature, self.top_p, (), None, self.response_schema, adapter)


def check_request(body: ResponseRequest) -> None:
    """Raises InvalidRequestError for fields that do not fit together."""
    if body.background and not body.is_stored:
        raise InvalidRequestError("a response in the background is stored; leave out store: false", "store")


def check_documents(body: ResponseRequest) -> None:
    """Raises InvalidRequestError for what no answer from documents can follow."""
    choice = body.tool_choice
    if isinstance(choice, NamedTool) and choice.type == FUNCTION:
        _check_named(choice, body.functions)
    if choice == "none" and body.file_search is not None and not body.functions:
        raise InvalidRequestError("an answer from documents searches them; leave tool_choice out", "tool_choice")


def check_plain(body: ResponseRequest) -> None:
    """Raises InvalidRequestError for what needs documents, and for a choice of no tool."""
    for name in DOCUMENT_FIELDS:
        if name in body.model_fields_set and getattr(body, name) is not None:
            raise InvalidRequestError(f"{name} needs documents to search; add a file_search tool", name)
    if body.tool_choice not in (None, "auto", "none") and not body.functions:
        raise InvalidRequestError("tool_choice names a tool, and the request has none; add tools", "tool_choice")
    if isinstance(body.tool_choice, NamedTool):
        _check_named(body.tool_choice, body.functions)


def _check_named(choice: NamedTool, functions: tuple[FunctionTool, ...]) -> None:
    """Raises InvalidRequestError for a choice of a function that the request does not have."""
    if choice.name not in {tool.name for tool in functions}:
        raise InvalidRequestError("tool_choice names a function that is not in tools", "tool_choice")
