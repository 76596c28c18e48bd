"""The request of POST /v1/messages in Anthropic's shape, and the chat in OpenAI's shape that it stands for."""

from collections.abc import Container, Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.errors.requests import InvalidRequestError
from serve.api.chat_request import IGNORED, MAX_MESSAGES
from serve.api.client_names import SERVICE_MODEL
from serve.api.filters import FilterBody
from serve.api.function_tools import MAX_TOOLS
from serve.api.ids import VectorStoreIds
from serve.api.message_tools import MessageTool, MessageToolChoice, call_of, result_of
from serve.api.ranking import NumResults
from serve.api.sampling import MAX_STOPS, ExtraOptions, MaxTokens, Temperature, TopP

# Parts of an earlier turn that no answer reads: what the model thought, and tools that another service ran itself.
LEFT_OUT = ("thinking", "redacted_thinking", "server_tool_use")
UNSUPPORTED = {
    "thinking": "has no extended thinking",
    "top_k": "does not sample from the k likeliest tokens; max_num_results limits the passages",
    "container": "has no containers",
    "mcp_servers": "calls no MCP servers",
    "output_config": "has no output_config; /v1/chat/completions has response_format",
}
NO_EFFECT = {"thinking": {"type": "disabled"}}


TOOL_USE, TOOL_RESULT = "tool_use", "tool_result"


class MessageTurn(BaseModel):
    """A turn of the conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


def _is_default(name: str, value: Any, names: Container[str]) -> bool:
    """Whether a field has no effect. An unknown name is never one."""
    return (value is None and (name in names or name in UNSUPPORTED)) or value == NO_EFFECT.get(name, ...)


class MessagesRequest(BaseModel):
    """Anthropic's request. `vector_store_ids`, `filters`, `max_num_results` and `extra` are our own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: list[MessageTurn] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_tokens: MaxTokens
    model: str = SERVICE_MODEL
    system: str | list[dict[str, Any]] | None = None
    stream: bool = False
    temperature: Temperature | None = None
    top_p: TopP | None = None
    tools: list[MessageTool] = Field(
        default=[], max_length=MAX_TOOLS, description="Functions for a language model to call."
    )
    tool_choice: MessageToolChoice | None = Field(default=None, description="Whether a tool must be called.")
    stop_sequences: list[str] | None = Field(default=None, max_length=MAX_STOPS)
    vector_store_ids: VectorStoreIds | None = Field(default=None, description="Vector stores to search.")
    filters: FilterBody | None = Field(default=None, description="Search only files whose attributes match.")
    max_num_results: NumResults | None = Field(default=None, description="Most passages to write the answer from.")
    extra: ExtraOptions = "refuse"
    metadata: dict[str, Any] | None = Field(default=None, description=IGNORED)
    service_tier: str | None = Field(default=None, description=IGNORED)
    cache_control: dict[str, Any] | None = Field(default=None, description=IGNORED)
    inference_geo: str | None = Field(default=None, description=IGNORED)

    @model_validator(mode="before")
    @classmethod
    def _without_unsupported(cls, body: Any) -> Any:
        """Drop null fields. Refuse what has an effect that no answer has; with `extra: ignore`, drop it."""
        if not isinstance(body, dict):
            return body
        fields = {
            name: value for name, value in body.items() if value is not None and value != NO_EFFECT.get(name, ...)
        }
        if fields.get("extra") == "ignore":
            return {name: value for name, value in fields.items() if name in cls.model_fields}
        for name in UNSUPPORTED.keys() & fields.keys():
            message = f"this route {UNSUPPORTED[name]}; leave out {name}, or send `extra: ignore`"
            raise InvalidRequestError(message, name)
        return fields

    @property
    def names_documents(self) -> bool:
        return self.model == SERVICE_MODEL or self.vector_store_ids is not None

    def to_chat(self) -> dict[str, Any]:
        """The body of the same chat in OpenAI's shape. Raises InvalidRequestError for images and documents."""
        fields = {
            "model": self.model,
            "messages": list(self._chat_messages()),
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "stop": self.stop_sequences,
            "tools": [tool.to_tool() for tool in self.tools] or None,
            **(self.tool_choice.to_fields() if self.tool_choice else {}),
        }
        return {name: value for name, value in fields.items() if value is not None}

    def to_document_chat(self) -> dict[str, Any]:
        """The same, with the fields of a search."""
        body = self.model_dump(include={"vector_store_ids", "filters", "extra"}, exclude_none=True)
        limit = {"top_k": self.max_num_results} if self.max_num_results else {}
        return {**self.to_chat(), **body, **limit}

    def _chat_messages(self) -> Iterator[dict[str, Any]]:
        if self.system:
            yield {"role": "system", "content": self._text(self.system, "system")}
        for number, turn in enumerate(self.messages):
            yield from self._turn(turn, f"messages.{number}.content")

    def _turn(self, turn: MessageTurn, where: str) -> Iterator[dict[str, Any]]:
        """A turn as OpenAI's messages: results of tools first, then its text with its calls."""
        blocks = turn.content if isinstance(turn.content, list) else ()
        places = [(f"{where}.{place}", block) for place, block in enumerate(blocks)]
        results = [(place, block) for place, block in places if block.get("type") == TOOL_RESULT]
        calls = [call_of(block, place) for place, block in places if block.get("type") == TOOL_USE]
        for place, block in results:
            result = result_of(block, place)
            content = self._text(result.content, f"{place}.content")
            yield {"role": "tool", "tool_call_id": result.tool_use_id, "content": content}
        text = self._text(turn.content, where)
        if text or calls or not results:
            yield {"role": turn.role, "content": text, **({"tool_calls": calls} if calls else {})}

    def _text(self, content: str | list[dict[str, Any]], where: str) -> str:
        if isinstance(content, str):
            return content
        return "\n".join(text for place, block in enumerate(content) for text in self._texts(block, f"{where}.{place}"))

    def _texts(self, block: dict[str, Any], where: str) -> Iterator[str]:
        kind = block.get("type")
        if kind == "text" and isinstance(block.get("text"), str):
            yield block["text"]
        elif kind == "text":
            raise InvalidRequestError("this part has no text", f"{where}.text")
        elif kind not in (*LEFT_OUT, TOOL_USE, TOOL_RESULT) and self.extra == "refuse":
            message = f"answers read text alone, no {kind}; send its text, or `extra: ignore` to leave it out"
            raise InvalidRequestError(message, where)


class CountedMessages(MessagesRequest):
    """Messages whose tokens are counted. An answer's limit, which Anthropic's client does not send, means nothing."""

    max_tokens: MaxTokens = 1
