"""The seam of generation: a question and its passages in, text as it comes out."""

from collections.abc import AsyncGenerator
from typing import Any, Protocol

from models.types import CompletionRequest, GenerationDelta, GenerationRequest


class GenerationModel(Protocol):
    """Writes an answer that marks what it takes from passage n (from 1, in the request's order) with `[n]`."""

    name: str

    @property
    def served_names(self) -> tuple[str, ...]:
        """What a request may call it by: its alias, and its adapters."""

    @property
    def max_running(self) -> int:
        """Requests that it works on at once; others wait for their turn."""

    def environment(self) -> dict[str, str]:
        """Environment variables that the model's library reads when it is imported; set before `start`."""

    async def start(self) -> None:
        """Load and warm up. Raises ModelLoadError."""

    def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta, None]:
        """Deltas as they come, the last with a finish_reason. Closing the generator frees the engine at once."""

    def num_unfinished(self) -> int:
        """Requests that it is working on now."""

    async def check_health(self) -> None:
        """Raises if the model cannot generate any more."""

    async def stop(self) -> None:
        """Free memory and processes."""


class CompletionModel(GenerationModel, Protocol):
    """A language model that is also asked in OpenAI's own words: tools, JSON schemas, log probabilities, adapters."""

    def complete(self, request: CompletionRequest) -> AsyncGenerator[dict[str, Any], None]:
        """OpenAI's response object; or its chunks as they come, if the body says `stream`, each without framing.

        Raises InvalidRequestError, OverloadedError, StageUnavailableError. Closing it frees the engine at once.
        """
