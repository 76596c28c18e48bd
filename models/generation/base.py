"""The protocols of generation: an engine that starts and stops, and the text that it streams for a request."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from models.types.generation import CompletionRequest, GenerationDelta, GenerationRequest


@dataclass(frozen=True)
class EngineActivity:
    """`num_unfinished` requests run or wait in the engine, which runs up to `max_running` at once, 1 or more.

    `max_waiting` more may wait, None: any number. 0: it has no queue, and `max_running` limits nothing.
    """

    num_unfinished: int = 0
    max_running: int = 1
    max_waiting: int | None = 0


class Engine(Protocol):
    """The life of a model. Set the catalog's environment variables for it before `start`."""

    async def start(self) -> None:
        """Load and warm up. Raises ModelLoadError."""

    async def check_health(self) -> None:
        """Raises if the model cannot generate any more."""

    async def stop(self) -> None:
        """Free memory and processes."""

    def activity(self) -> EngineActivity:
        """What the engine works on now."""


@runtime_checkable
class QueueingEngine(Protocol):
    """An engine with a queue of its own, which it measures."""

    def observe_queue(self, observe: Callable[[str, float], None]) -> None:
        """Call `observe` with the id of each request that the engine begins, and the seconds that it waited there."""


class GenerationModel(Engine, Protocol):
    """Writes an answer that marks what it takes from passage n (from 1, in the request's order) with `[n]`.

    `served_names` are the names that a request may call it by: `name`, its catalog alias, and its adapters.
    """

    name: str
    served_names: tuple[str, ...]

    def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta, None]:
        """Deltas as they come, the last with a finish_reason. Closing the generator frees the engine at once."""


class CompletionModel(GenerationModel, Protocol):
    """A language model that also answers OpenAI's own requests: tools, JSON schemas, log probabilities, adapters."""

    def complete(self, request: CompletionRequest) -> AsyncGenerator[dict[str, Any], None]:
        """OpenAI's response object; or its chunks as they come, if the body says `stream`, each without framing.

        Raises InvalidRequestError, OverloadedError, StageUnavailableError. Closing it frees the engine at once.
        """

    async def count_tokens(self, request: CompletionRequest) -> int:
        """The tokens of a chat's messages and functions; an estimate where the model's tokenizer is not here."""
