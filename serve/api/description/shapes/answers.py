"""Answers, in several shapes, and counts of their tokens."""

from typing import Any, Literal

from pydantic import Field

from serve.api.description.shapes.base import Metadata, OpenShape


class UsageObject(OpenShape):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class InputTokensObject(OpenShape):
    """OpenAI's count of the tokens that a response would read, without passages."""

    object: Literal["response.input_tokens"]
    input_tokens: int


class CompactionObject(OpenShape):
    """OpenAI's conversation made short. `output` goes in place of its items."""

    id: str
    object: Literal["response.compaction"]
    created_at: int
    output: list[dict[str, Any]]
    usage: dict[str, Any]


class MessageTokensObject(OpenShape):
    """Anthropic's count of the tokens of messages, without passages."""

    input_tokens: int


class CalledFunctionObject(OpenShape):
    name: str
    arguments: str = Field(description="JSON, as the model wrote it.")


class ToolCallObject(OpenShape):
    """A call of a client's function."""

    id: str
    type: Literal["function"]
    function: CalledFunctionObject


class AssistantMessage(OpenShape):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None = None
    annotations: list[dict[str, Any]] | None = Field(
        default=None, description="A url_citation for each marker in the text."
    )
    tool_calls: list[ToolCallObject] | None = None


class ChatChoice(OpenShape):
    index: int
    message: AssistantMessage
    finish_reason: str | None


class ChatCompletion(OpenShape):
    """OpenAI's object. An answer from documents has its evidence too."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: UsageObject


class TextChoice(OpenShape):
    index: int
    text: str
    finish_reason: str | None


class TextCompletionObject(OpenShape):
    """OpenAI's legacy object. An answer from documents has its evidence too."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: UsageObject


class MessageBlock(OpenShape):
    type: str
    text: str | None = None
    citations: list[dict[str, Any]] | None = None


class AnthropicMessage(OpenShape):
    """Anthropic's object. An answer from documents has its evidence too."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[MessageBlock]
    stop_reason: str | None
    stop_sequence: str | None
    usage: dict[str, Any]


class ResponseObject(OpenShape):
    """OpenAI's response. An answer from documents has its evidence too."""

    id: str
    object: Literal["response"]
    created_at: float
    status: Literal["completed", "failed", "in_progress", "cancelled", "queued", "incomplete"]
    error: dict[str, Any] | None
    model: str
    output: list[dict[str, Any]]
    previous_response_id: str | None
    metadata: Metadata
    usage: dict[str, Any] | None = Field(default=None, description="Left out while the response is in progress.")
