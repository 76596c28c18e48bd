"""What may be asked of POST /v1/chat/completions, and which of it is answered from documents."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator
from pydantic_core import PydanticCustomError

from models.types import DEFAULT_VECTOR_STORE, ChatMessage, SamplingOptions
from serve.api.filters import FilterBody
from serve.api.models import SERVICE_MODEL
from serve.api.plain_chat import PlainChat
from serve.api.query import VectorStoreIds
from serve.api.ranking import RankingOptions
from serve.pipelines.retrieve import Mode

TOOL = "file_search"
DEFAULT_MAX_TOKENS = 512
DEFAULT_NUM_RESULTS = 5
DEFAULT_STORES = (DEFAULT_VECTOR_STORE,)


class TextPart(BaseModel):
    """A part of a message. Only text can be asked about."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A turn of the conversation; `developer` is what newer clients call `system`."""

    model_config = ConfigDict(frozen=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | tuple[TextPart, ...]

    def to_chat_message(self) -> ChatMessage:
        text = self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)
        return ChatMessage("system" if self.role == "developer" else self.role, text)


class FileSearchTool(BaseModel):
    """Which vector stores to answer from, and how, in the words of OpenAI's hosted tool."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["file_search"]
    vector_store_ids: VectorStoreIds
    max_num_results: int | None = Field(default=None, ge=1, le=50)
    filters: FilterBody | None = None
    ranking_options: RankingOptions | None = None


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    include_usage: bool = False
    include_obfuscation: bool = False


class TextFormat(BaseModel):
    """Prose, with citations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["text"]

    @property
    def schema_dict(self) -> None:
        return None


class JsonObjectFormat(BaseModel):
    """Any JSON object, without citations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["json_object"]

    @property
    def schema_dict(self) -> dict[str, Any]:
        return {"type": "object"}


class NamedSchema(BaseModel):
    """`strict` changes nothing: every schema is kept to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    json_schema: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class JsonSchemaFormat(BaseModel):
    """JSON of this schema, without citations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["json_schema"]
    json_schema: NamedSchema

    @property
    def schema_dict(self) -> dict[str, Any]:
        return self.json_schema.json_schema


ResponseFormat = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]


class ChatRequest(BaseModel):
    """OpenAI's request. What has no meaning here is refused, but for what a client may send by habit (`user`, …)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: tuple[Message, ...] = Field(min_length=1, max_length=256)
    model: str = SERVICE_MODEL
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=32_768)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=32_768)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stop: str | tuple[str, ...] | None = Field(default=None, max_length=4)
    seed: int | None = None
    n: Literal[1] = 1
    response_format: ResponseFormat | None = None
    tools: tuple[FileSearchTool, ...] = Field(default=(), max_length=1)
    vector_store_ids: VectorStoreIds | None = None
    top_k: int | None = Field(default=None, ge=1, le=50)
    filters: FilterBody | None = None
    mode: Mode = "auto"
    ranking_options: RankingOptions | None = None
    user: str | None = None
    safety_identifier: str | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None

    @field_validator("tools", mode="before")
    @classmethod
    def _search(cls, tools: Any) -> Any:
        if isinstance(tools, list) and any(isinstance(tool, dict) and tool.get("type") == "function" for tool in tools):
            raise PydanticCustomError(
                "function_tool",
                "functions are for a language model without documents: name it as `model`, without file_search or "
                "vector_store_ids",
            )
        return tools

    def sampling(self, adapter: str | None) -> SamplingOptions:
        stop = (self.stop,) if isinstance(self.stop, str) else self.stop or ()
        max_tokens = self.max_completion_tokens or self.max_tokens or DEFAULT_MAX_TOKENS
        schema = self.response_format.schema_dict if self.response_format else None
        return SamplingOptions(max_tokens, self.temperature, self.top_p, stop, self.seed, schema, adapter)

    @property
    def search(self) -> FileSearchTool:
        """Where and how to search: what stands in the request itself goes before the tool's."""
        tool = self.tools[0] if self.tools else FileSearchTool(type="file_search", vector_store_ids=DEFAULT_STORES)
        return FileSearchTool(
            type="file_search",
            vector_store_ids=self.vector_store_ids or tool.vector_store_ids,
            max_num_results=self.top_k or tool.max_num_results or DEFAULT_NUM_RESULTS,
            filters=self.filters or tool.filters,
            ranking_options=self.ranking_options or tool.ranking_options,
        )


def _kind_of(body: Any) -> str:
    """What a request asks for: an answer from `documents`, or `plain` chat."""
    if not isinstance(body, dict):
        return "plain" if isinstance(body, PlainChat) else "documents"
    tools = body.get("tools")
    searches = isinstance(tools, list) and any(isinstance(tool, dict) and tool.get("type") == TOOL for tool in tools)
    is_ours = body.get("model", SERVICE_MODEL) == SERVICE_MODEL
    return "documents" if is_ours or searches or body.get("vector_store_ids") is not None else "plain"


AnyChatRequest = Annotated[
    Annotated[ChatRequest, Tag("documents")] | Annotated[PlainChat, Tag("plain")], Discriminator(_kind_of)
]
