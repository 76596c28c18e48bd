"""The request of POST /v1/chat/completions, and the choice between an answer from documents and plain chat."""

from collections.abc import Container
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from models.errors.requests import InvalidRequestError
from models.functions import Functions
from models.types.generation import ChatMessage, SamplingOptions
from models.types.scope import DEFAULT_VECTOR_STORE
from serve.api.client_names import SERVICE_MODEL
from serve.api.filters import FilterBody
from serve.api.function_tools import MAX_TOOLS, FunctionTool, MessageCall, NamedFunction, ToolChoice
from serve.api.ids import VectorStoreIds
from serve.api.plain_chat import PlainChat
from serve.api.ranking import DEFAULT_NUM_RESULTS, DegradeOption, NumResults, RankingOptions, SearchMode
from serve.api.response_format import ResponseFormat
from serve.api.sampling import (
    DEFAULT_MAX_TOKENS,
    MAX_STOPS,
    ExtraOptions,
    Grounding,
    LanguageOption,
    LengthOption,
    MaxTokens,
    Penalty,
    ResponseModeOption,
    Temperature,
    TopP,
)
from serve.api.understanding import QueryUnderstanding

FILE_SEARCH = "file_search"
TEXTS = ("text", "refusal")
MEDIA = ("image_url", "input_image", "image", "input_audio", "video_url", "file", "input_file")
# Fields of OpenAI's that no answer from documents can follow, each with the reason.
UNSUPPORTED = {
    "n": "have one choice",
    "logprobs": "have no log probabilities",
    "top_logprobs": "have no log probabilities",
    "logit_bias": "take no bias of tokens",
    "reasoning_effort": "set no effort of reasoning; the model's catalog entry does",
    "verbosity": "take a length instead: length: short, medium or long",
    "modalities": "are text",
    "audio": "are text",
    "prediction": "take no prediction",
    "web_search_options": "search no web",
    "functions": "take functions in `tools`",
    "function_call": "take functions in `tools`",
}
MAX_MESSAGES = 10_000  # a conversation of this length is cut to the model's window, and never refused
DEFAULT_STORES = (DEFAULT_VECTOR_STORE,)
IGNORED = "Accepted for OpenAI's clients; ignored."
# Fields of OpenAI's whose default changes nothing. Some clients send every field.
DEFAULTS: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "functions": ([],),
    "tool_choice": ("auto",),
    "modalities": (["text"],),
}


ROLES = {"developer": "system", "function": "tool"}  # of OpenAI's, as the models here have them


class TextPart(BaseModel):
    """A text part of a message. Answers from documents take no other type."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["text"]
    text: str


class RefusalPart(BaseModel):
    """A refusal that a language model wrote earlier in the conversation. Accepted and left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["refusal"]
    refusal: str


class Message(BaseModel):
    """A turn of the conversation. Newer clients send `developer` for `system`.

    Turns without text and without calls are left out; calls and results, too, if the request has no functions.
    """

    model_config = ConfigDict(frozen=True)

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | tuple[Annotated[TextPart | RefusalPart, Field(discriminator="type")], ...] | None = None
    tool_calls: tuple[MessageCall, ...] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(block.text for block in self.content or () if isinstance(block, TextPart))

    def to_chat_message(self) -> ChatMessage:
        role = ROLES.get(self.role, self.role)
        calls = [call for each in self.tool_calls or () for call in each.to_calls()]
        return ChatMessage(role, self.text, tuple(calls), self.tool_call_id or "")


class FileSearchTool(BaseModel):
    """OpenAI's hosted tool: which vector stores to answer from, and how to search them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["file_search"]
    vector_store_ids: VectorStoreIds
    max_num_results: NumResults | None = None
    filters: FilterBody | None = None
    ranking_options: RankingOptions | None = None


Tool = Annotated[FileSearchTool | FunctionTool, Field(discriminator="type")]


class StreamOptions(BaseModel):
    """`include_usage` adds a last chunk with the token counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    include_usage: bool = False
    include_obfuscation: bool = Field(default=False, description=IGNORED)


class ChatRequest(BaseModel):
    """OpenAI's request, answered from documents. Fields without effect are refused, except common ones (`user`).

    `vector_store_ids`, `top_k`, `filters` and `ranking_options` override those of the file_search tool.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: tuple[Message, ...] = Field(min_length=1, max_length=MAX_MESSAGES)
    model: str = SERVICE_MODEL
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    stop: str | tuple[str, ...] | None = Field(default=None, max_length=MAX_STOPS)
    seed: int | None = None
    n: Literal[1] = 1
    response_format: ResponseFormat | None = None
    tools: tuple[Tool, ...] = Field(
        default=(), max_length=MAX_TOOLS, description="One file_search, and functions for a language model to call."
    )
    tool_choice: ToolChoice | None = Field(default=None, description="Which of the functions to call; null: auto.")
    parallel_tool_calls: bool | None = Field(default=None, description="false: one call at a time.")
    vector_store_ids: VectorStoreIds | None = Field(default=None, description="Vector stores to search.")
    top_k: NumResults | None = Field(default=None, description="Most passages to write the answer from.")
    filters: FilterBody | None = Field(default=None, description="Search only files whose attributes match.")
    mode: SearchMode = "auto"
    degrade: DegradeOption = "allow"
    ranking_options: RankingOptions | None = None
    query_understanding: QueryUnderstanding | None = None
    extra: ExtraOptions = "refuse"
    grounded: Grounding = "mark"
    response_mode: ResponseModeOption = None
    language: LanguageOption = None
    length: LengthOption = None
    user: str | None = Field(default=None, description=IGNORED)
    safety_identifier: str | None = Field(default=None, description=IGNORED)
    store: bool | None = Field(default=None, description=IGNORED)
    metadata: dict[str, str] | None = Field(default=None, description=IGNORED)
    service_tier: str | None = Field(default=None, description=IGNORED)
    prompt_cache_key: str | None = Field(default=None, description=IGNORED)

    @model_validator(mode="before")
    @classmethod
    def _without_defaults(cls, body: Any) -> Any:
        """Drop null fields, and those that ask for nothing. With `extra: ignore`, drop what cannot be followed too."""
        if not isinstance(body, dict):
            return body
        fields = {name: value for name, value in body.items() if not _is_default(name, value, cls.model_fields)}
        if fields.get("tool_choice") == "none" and not fields.get("tools"):
            del fields["tool_choice"]
        if fields.get("extra") == "ignore":
            return _without_extra(fields, cls.model_fields)
        _refuse_unsupported(fields)
        return fields

    @field_validator("tools")
    @classmethod
    def _one_search(cls, tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
        if sum(isinstance(tool, FileSearchTool) for tool in tools) > 1:
            raise PydanticCustomError("file_search", "send one file_search tool; it takes up to 16 vector stores")
        return tools

    @model_validator(mode="after")
    def _chooses_a_function(self) -> "ChatRequest":
        _check_choice(self.tool_choice, [tool.function.name for tool in self.function_tools])
        return self

    def sampling(self, adapter: str | None) -> SamplingOptions:
        stop = (self.stop,) if isinstance(self.stop, str) else self.stop or ()
        max_tokens = self.max_completion_tokens or self.max_tokens or DEFAULT_MAX_TOKENS
        schema = self.response_format.schema_dict if self.response_format else None
        penalties = (self.presence_penalty, self.frequency_penalty)
        return SamplingOptions(max_tokens, self.temperature, self.top_p, stop, self.seed, schema, adapter, *penalties)

    @property
    def function_tools(self) -> tuple[FunctionTool, ...]:
        return tuple(tool for tool in self.tools if isinstance(tool, FunctionTool))

    @property
    def functions(self) -> Functions | None:
        """None if the request has nothing to do with functions: neither tools nor results after the question."""
        tools = tuple(tool.to_tool() for tool in self.function_tools)
        if not tools and self.messages[-1].role != "tool":
            return None
        choice = self.tool_choice or "auto"
        named = choice.model_dump() if isinstance(choice, NamedFunction) else choice
        return Functions(tools, named, self.parallel_tool_calls, self.extra == "ignore")

    @property
    def file_search(self) -> FileSearchTool | None:
        return next((tool for tool in self.tools if isinstance(tool, FileSearchTool)), None)

    @property
    def search(self) -> FileSearchTool:
        """The search to run. The request's own fields override those of its tool."""
        tool = self.file_search or FileSearchTool(type="file_search", vector_store_ids=DEFAULT_STORES)
        return FileSearchTool(
            type="file_search",
            vector_store_ids=self.vector_store_ids or tool.vector_store_ids,
            max_num_results=self.top_k or tool.max_num_results or DEFAULT_NUM_RESULTS,
            filters=self.filters or tool.filters,
            ranking_options=self.ranking_options or tool.ranking_options,
        )


def _check_choice(choice: ToolChoice | None, names: list[str]) -> None:
    """Raises InvalidRequestError for a choice of a function that the request does not have."""
    if choice in (None, "auto", "none"):
        return
    if not names:
        raise InvalidRequestError("tool_choice asks for a function, and the request has none; add tools", "tool_choice")
    if isinstance(choice, NamedFunction) and choice.function.name not in names:
        raise InvalidRequestError("tool_choice names a function that is not in tools", "tool_choice")


def _is_default(name: str, value: Any, names: Container[str]) -> bool:
    """Whether a field of a request has no effect: null, or OpenAI's default. An unknown name is never one."""
    if value is None:
        return name in names or name in DEFAULTS or name in UNSUPPORTED
    return value in DEFAULTS.get(name, ())


def _refuse_unsupported(fields: dict[str, Any]) -> None:
    """Raises InvalidRequestError for a field, or a part of a message, that no answer from documents can follow."""
    for name, reason in UNSUPPORTED.items():
        if name in fields and not (name == "n" and fields[name] == 1):
            message = f"answers from documents {reason}; leave out {name}, or send `extra: ignore`"
            raise InvalidRequestError(message, name)
    messages = fields.get("messages")
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for place, block in enumerate(content if isinstance(content, list) else ()):
            kind = block.get("type") if isinstance(block, dict) else None
            if kind in MEDIA:
                advice = "send its text, or `extra: ignore` to leave it out"
                raise InvalidRequestError(
                    f"answers from documents read text alone, no {kind}; {advice}", f"messages.{number}.content.{place}"
                )


def _without_extra(body: dict[str, Any], names: Container[str]) -> dict[str, Any]:
    """The request without what no answer from documents can follow: other fields, choices and media."""
    fields = {name: value for name, value in body.items() if name in names and name != "n"}
    if isinstance(fields.get("messages"), list):
        fields["messages"] = [_without_media(message) for message in fields["messages"]]
    return fields


def _without_media(message: Any) -> Any:
    """The message with its text parts alone."""
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    blocks = message["content"]
    return message | {"content": [item for item in blocks if not isinstance(item, dict) or item.get("type") in TEXTS]}


def _has_tool(tools: Any, kind: str) -> bool:
    return isinstance(tools, list) and any(isinstance(tool, dict) and tool.get("type") == kind for tool in tools)


def _kind_of(body: Any) -> str:
    """`documents` for an answer from documents, `plain` for plain chat."""
    if not isinstance(body, dict):
        return "plain" if isinstance(body, PlainChat) else "documents"
    names_service = body.get("model") in (None, SERVICE_MODEL)
    names_documents = _has_tool(body.get("tools"), FILE_SEARCH) or body.get("vector_store_ids") is not None
    return "documents" if names_service or names_documents else "plain"


AnyChatRequest = Annotated[
    Annotated[ChatRequest, Tag("documents")] | Annotated[PlainChat, Tag("plain")], Discriminator(_kind_of)
]
