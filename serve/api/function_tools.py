"""OpenAI's function tools in a chat, and the calls and results in its messages."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from models.functions import ToolCall

MAX_TOOLS = 128
FunctionName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Function(_Strict):
    """What the model reads of a function. `parameters` is a JSON schema."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(_Strict):
    """A function of the client's, which a language model may call."""

    type: Literal["function"]
    function: Function

    def to_tool(self) -> dict[str, Any]:
        return {"type": self.type, "function": self.function.model_dump(exclude_none=True)}


class FunctionRef(_Strict):
    name: FunctionName


class NamedFunction(_Strict):
    """The function that must be called."""

    type: Literal["function"]
    function: FunctionRef


ToolChoice = Literal["auto", "none", "required"] | NamedFunction


class CalledFunction(BaseModel):
    """A function with the arguments of a call, as JSON."""

    model_config = ConfigDict(frozen=True)

    name: str
    arguments: str = ""


class MessageCall(BaseModel):
    """A call in a message of the assistant."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(default="", max_length=256)
    function: CalledFunction | None = None

    def to_calls(self) -> tuple[ToolCall, ...]:
        """None for a call of another kind, which no model here makes."""
        return (ToolCall(self.id, self.function.name, self.function.arguments),) if self.function else ()


def call_body(call: ToolCall) -> dict[str, Any]:
    """OpenAI's object of a call."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.call_id, "type": "function", "function": function}
