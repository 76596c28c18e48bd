"""Follow-ups by a language model: within its budget, and never worse than the rule when it fails."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from models.errors.base import RagError
from models.errors.configuration import ModelNotFoundError
from models.errors.limits import OverloadedError
from models.errors.stages import StageUnavailableError
from models.prompts.library import default_prompts
from models.types.generation import ChatMessage, CompletionRequest
from models.types.request_context import RequestContext
from serve.pipelines.follow_up_rewriting import FollowUpConfig, LanguageModelRewriter, RuleRewriter, follow_up_rewriter
from serve.pipelines.language_model import LanguageModel
from tests.contexts import within

Responses = AsyncGenerator[dict[str, Any], None]
TURNS = tuple(
    ChatMessage(*turn)
    for turn in [("user", "How long is the Gamma tug?"), ("assistant", "9 metres."), ("user", "Who built it?")]
)
BY_RULE = "Who built it? long Gamma tug"


class Model:
    """A language model that answers with one text, as OpenAI's API has it."""

    def __init__(self, text: str | None, finish_reason: str = "stop") -> None:
        self._response = {"choices": [{"message": {"content": text}, "finish_reason": finish_reason}]}
        self.requests: list[CompletionRequest] = []

    async def complete(self, request: CompletionRequest, context: RequestContext) -> Responses:
        self.requests.append(request)
        yield self._response


class FailingModel:
    def __init__(self, error: RagError) -> None:
        self._error = error

    async def complete(self, request: CompletionRequest, context: RequestContext) -> Responses:
        raise self._error
        yield {}


class SilentModel:
    """Never answers, and notes that nobody waits any more."""

    def __init__(self) -> None:
        self.is_cancelled = False

    async def complete(self, request: CompletionRequest, context: RequestContext) -> Responses:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise
        yield {}


async def test_the_models_question_is_searched() -> None:
    model = Model("Who built the Gamma tug?")
    rewriter = follow_up_rewriter(model, FollowUpConfig(model="small"))

    assert await rewriter.rewrite(TURNS, default_prompts(), within(60)) == "Who built the Gamma tug?"
    (request,) = model.requests
    assert (request.kind, request.body["model"], request.body["temperature"]) == ("chat", "small", 0.0)


@pytest.mark.parametrize(
    "model",
    [
        Model(None),
        Model("Paris is the capital of France."),
        Model("Who built the Gamma tug, and", "length"),
        FailingModel(StageUnavailableError("generate")),
        FailingModel(OverloadedError("generate")),
        FailingModel(ModelNotFoundError("model", "small", ["other"])),
    ],
)
async def test_the_rule_applies_if_the_model_fails_or_writes_no_question(model: Model | FailingModel) -> None:
    rewriter = follow_up_rewriter(model, FollowUpConfig(model="small"))

    assert await rewriter.rewrite(TURNS, default_prompts(), within(60)) == BY_RULE


async def test_a_late_model_is_cancelled_and_the_rule_applies() -> None:
    model = SilentModel()
    rewriter = LanguageModelRewriter(LanguageModel(model, "small", 0.01), RuleRewriter())

    assert await rewriter.rewrite(TURNS, default_prompts(), within(60)) == BY_RULE
    assert model.is_cancelled


async def test_without_a_model_nothing_is_sent() -> None:
    model = Model("Who built the Gamma tug?")

    assert await follow_up_rewriter(model, FollowUpConfig()).rewrite(TURNS, default_prompts(), within(60)) == BY_RULE
    assert model.requests == []
