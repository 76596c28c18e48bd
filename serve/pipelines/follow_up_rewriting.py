"""The question that is searched for a follow-up: by a rule, or by a language model within a budget."""

from collections.abc import Sequence
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from models.generation.follow_up import search_query
from models.generation.rewriting import MAX_TOKENS, read_rewritten, rewriting_messages
from models.prompts.prompt_set import PromptSet
from models.types.generation import ChatMessage
from models.types.request_context import RequestContext
from serve.pipelines.language_model import LanguageModel, small_model
from serve.pipelines.stages import CompletionStage


class FollowUpConfig(BaseModel):
    """How a follow-up is made complete."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(
        default=None,
        description="A language model that the Generator serves: its model, its canary or an adapter. None: a rule.",
    )
    budget_s: float = Field(
        default=2.0,
        gt=0,
        le=60,
        description="Time for the language model, in seconds; then the rule's question counts.",
    )


class FollowUpRewriter(Protocol):
    async def rewrite(self, messages: Sequence[ChatMessage], prompts: PromptSet, context: RequestContext) -> str:
        """The last question of a conversation, complete without it. Raises nothing."""


class RuleRewriter:
    """The last message, with the new words of the question before it."""

    async def rewrite(self, messages: Sequence[ChatMessage], prompts: PromptSet, context: RequestContext) -> str:
        return search_query(messages)


class LanguageModelRewriter:
    """Asks a language model. `fallback` answers if it fails, is late, or writes no question about the conversation."""

    def __init__(self, model: LanguageModel, fallback: FollowUpRewriter) -> None:
        self._model, self._fallback = model, fallback

    async def rewrite(self, messages: Sequence[ChatMessage], prompts: PromptSet, context: RequestContext) -> str:
        prompt = rewriting_messages(messages, prompts.texts.follow_up)
        text = await self._model.ask(prompt, "follow-up", MAX_TOKENS, context)
        return read_rewritten(text, messages) or await self._fallback.rewrite(messages, prompts, context)


def follow_up_rewriter(stage: CompletionStage, config: FollowUpConfig) -> FollowUpRewriter:
    rule, model = RuleRewriter(), small_model(stage, config)
    return rule if model is None else LanguageModelRewriter(model, rule)
