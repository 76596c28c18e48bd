"""Functions of a client that a model may call, and the calls of them. Plain data that crosses replicas."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ToolCall:
    """A call of a client's function. `arguments` is JSON, as the model wrote it."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class CallDelta:
    """A piece of a function's call; `index` counts the calls of an answer from 0. Texts of pieces are joined."""

    index: int
    call_id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True)
class Functions:
    """The client's functions that a model may call, and what it must do. Without `tools` it reads results alone.

    `tools` and `choice` are OpenAI's, of a chat completion. `is_parallel` None: the model's default. `is_optional`: a
    model that calls no functions may leave them out.
    """

    tools: tuple[dict[str, Any], ...] = ()
    choice: str | dict[str, Any] = "auto"
    is_parallel: bool | None = None
    is_optional: bool = False

    @property
    def must_call(self) -> bool:
        """Whether a text is no answer."""
        return self.choice not in ("auto", "none")
