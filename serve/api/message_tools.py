"""Anthropic's tools, and their calls and results in messages, as OpenAI's."""

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from models.errors.requests import InvalidRequestError
from models.functions import ToolCall
from serve.api.function_tools import FunctionName

CHOICES = {"auto": "auto", "any": "required", "none": "none"}


class MessageTool(BaseModel):
    """A tool of the client's. Tools that Anthropic's service runs itself are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["custom"] | None = None
    name: FunctionName
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    cache_control: dict[str, Any] | None = Field(default=None, description="Accepted; ignored.")
    eager_input_streaming: bool | None = Field(default=None, description="Accepted; ignored.")
    input_examples: list[dict[str, Any]] | None = Field(default=None, description="Accepted; ignored.")

    @field_validator("type", mode="before")
    @classmethod
    def _is_own(cls, kind: Any) -> Any:
        if kind not in (None, "custom"):
            message = "{kind} is a tool that another service runs; send tools of your own"
            raise PydanticCustomError("tool", message, {"kind": str(kind)[:64]})
        return kind

    def to_tool(self) -> dict[str, Any]:
        function = {"name": self.name, "description": self.description, "parameters": self.input_schema}
        return {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}


class MessageToolChoice(BaseModel):
    """Whether tools must be used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["auto", "any", "tool", "none"]
    name: FunctionName | None = None
    disable_parallel_tool_use: bool | None = None

    @model_validator(mode="after")
    def _has_name(self) -> "MessageToolChoice":
        if self.type == "tool" and self.name is None:
            raise InvalidRequestError("tool_choice of the type tool needs the tool's name", "tool_choice.name")
        return self

    def to_fields(self) -> dict[str, Any]:
        """OpenAI's fields."""
        named = {"type": "function", "function": {"name": self.name or ""}}
        parallel = {"parallel_tool_calls": False} if self.disable_parallel_tool_use else {}
        return {"tool_choice": CHOICES.get(self.type, named), **parallel}


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True)


B = TypeVar("B", bound=_Block)


class ToolUse(_Block):
    """A call that the model made earlier."""

    id: Annotated[str, Field(min_length=1, max_length=256)]
    name: str
    input: dict[str, Any] = Field(default_factory=dict)


class ToolResult(_Block):
    """What a call returned."""

    tool_use_id: Annotated[str, Field(min_length=1, max_length=256)]
    content: str | list[dict[str, Any]] = ""


def call_of(block: dict[str, Any], where: str) -> dict[str, Any]:
    """A `tool_use` as a call of OpenAI's. Raises InvalidRequestError."""
    use = _validated(ToolUse, block, where)
    function = {"name": use.name, "arguments": json.dumps(use.input, ensure_ascii=False)}
    return {"id": use.id, "type": "function", "function": function}


def result_of(block: dict[str, Any], where: str) -> ToolResult:
    """Raises InvalidRequestError."""
    return _validated(ToolResult, block, where)


def _validated(kind: type[B], block: dict[str, Any], where: str) -> B:
    try:
        return kind.model_validate(block)
    except ValidationError as error:
        problem = error.errors()[0]
        # Further names in the location are the branches of a union.
        raise InvalidRequestError(problem["msg"], ".".join([where, *map(str, problem["loc"][:1])])) from None


def tool_use_block(call: ToolCall) -> dict[str, Any]:
    """Anthropic's content block of a call. Arguments that are no object, as they were cut, are left out."""
    return {"type": "tool_use", "id": call.call_id, "name": call.name, "input": _to_input(call.arguments)}


def _to_input(arguments: str) -> dict[str, Any]:
    try:
        value = json.loads(arguments or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
