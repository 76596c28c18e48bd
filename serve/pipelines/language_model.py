"""Short questions to a language model beside the answer's own: within a budget, and never an error."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Protocol

from models.errors.base import RagError
from models.types.generation import ChatMessage, CompletionRequest
from models.types.request_context import RequestContext
from serve.pipelines.stages import CompletionStage


class LanguageModel:
    """A model that the Generator serves, by its alias."""

    def __init__(self, stage: CompletionStage, alias: str, budget_s: float) -> None:
        self._stage, self._alias, self._budget_s = stage, alias, budget_s

    async def ask(self, messages: Sequence[ChatMessage], purpose: str, max_tokens: int, context: RequestContext) -> str:
        """The model's text; empty if it fails, is late, or was cut. `purpose` ends the request's id."""
        try:
            async with asyncio.timeout(self._budget_s):
                return await self._ask(messages, purpose, max_tokens, context.at_most(self._budget_s))
        except (RagError, TimeoutError):
            return ""

    async def _ask(
        self, messages: Sequence[ChatMessage], purpose: str, max_tokens: int, context: RequestContext
    ) -> str:
        prompt = [{"role": message.role, "content": message.content} for message in messages]
        body = {"model": self._alias, "messages": prompt, "max_tokens": max_tokens, "temperature": 0.0}
        request = CompletionRequest(f"{context.request_id}-{purpose}", "chat", body)
        async with aclosing(self._stage.complete(request, context)) as responses:
            async for response in responses:
                return _text(response)
        return ""


def _text(response: dict[str, Any]) -> str:
    """The text of a chat completion; empty if it was cut."""
    choice = response["choices"][0]
    return (choice["message"]["content"] or "") if choice["finish_reason"] == "stop" else ""


class ModelChoice(Protocol):
    """A config that names a model for a small task, and its time."""

    @property
    def model(self) -> str | None:
        """An alias that the Generator serves; None: none."""

    @property
    def budget_s(self) -> float:
        """Time for the model, in seconds."""


def small_model(stage: CompletionStage, choice: ModelChoice) -> LanguageModel | None:
    """The model that a config names; None: rules take its place."""
    return None if choice.model is None else LanguageModel(stage, choice.model, choice.budget_s)
