"""POST /v1/completions in OpenAI's legacy shape: the language model continues a prompt, without documents.

A model that only quotes has nothing to continue. It answers the prompt: from its context, or else from documents.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter, Request, Response
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from models.generation.abilities import check_plain_request
from models.types.generation import ChatMessage, SamplingOptions
from models.types.scope import DEFAULT_VECTOR_STORE, Scope
from serve.api.answers import accept_query, usage
from serve.api.context import ContextDep
from serve.api.evidence import evidence
from serve.api.plain_chat import MAX_CHOICES, PlainRequest, plain_response, send
from serve.api.ranking import DEFAULT_NUM_RESULTS
from serve.api.sampling import DEFAULT_MAX_TOKENS
from serve.api.served_models import needs_documents, served_alias
from serve.api.services import ExtraRoute, ServicesDep
from serve.pipelines.answering import Answered, Event, Query, TextGenerated

router = APIRouter(route_class=ExtraRoute)


class PlainCompletion(PlainRequest):
    """OpenAI's request to a language model or one of its adapters. `prompt` has texts, or the model's token ids."""

    search_advice: ClassVar[str] = "send it to /v1/chat/completions, with vector_store_ids"

    prompt: str | list[str] | list[int] | list[list[int]]
    max_tokens: Annotated[int, Field(ge=0, le=32_768)] | None = None
    stream_options: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The prompt, where it is a text. LangChain's client sends a list of one text."""
        return str(self.prompt[0] if isinstance(self.prompt, list) else self.prompt)

    @field_validator("prompt")
    @classmethod
    def _within_limit(cls, prompt: Any) -> Any:
        if isinstance(prompt, list) and len(prompt) > MAX_CHOICES and not isinstance(prompt[0], int):
            raise PydanticCustomError("prompts", "send at most {limit} prompts in a request", {"limit": MAX_CHOICES})
        return prompt


@router.post("/v1/completions", response_model=None)
async def completions(
    body: PlainCompletion, request: Request, services: ServicesDep, context: ContextDep
) -> Response | dict[str, Any]:
    """Continues the prompt, without documents. A model that only quotes answers it."""
    named = body.model_copy(update={"model": await served_alias(body.model, services, context)})
    completion = named.to_request("completion", context.request_id)
    if not needs_documents(completion, services):
        return await plain_response(completion, request, services, context)
    check_plain_request(named.model, completion.body)
    query = await accept_query(_to_query(body, context.tenant), services, "prompt")
    answers = _answers(services.query.answer(query, context), TextCompletion(context.request_id, named.model), body)
    return await send(answers, bool(body.stream), request)


def _to_query(body: PlainCompletion, tenant: str) -> Query:
    message = ChatMessage("user", body.text)
    sampling = SamplingOptions(max_tokens=body.max_tokens or DEFAULT_MAX_TOKENS)
    scope = Scope(tenant, (DEFAULT_VECTOR_STORE,))
    return Query((message,), scope, DEFAULT_NUM_RESULTS, sampling, extra="ignore", names_documents=False)


class TextCompletion:
    """OpenAI's objects for an answer from documents."""

    def __init__(self, request_id: str, model: str) -> None:
        head = {"id": f"cmpl-{request_id}", "object": "text_completion", "created": int(time.time()), "model": model}
        self._head: dict[str, Any] = head

    def of(self, text: str, finish_reason: str | None, **fields: Any) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head, "choices": [choice], **fields}

    def usage_chunk(self, event: Answered) -> dict[str, Any]:
        return {**self._head, "choices": [], "usage": usage(event)}


async def _answers(
    events: AsyncGenerator[Event, None], completion: TextCompletion, body: PlainCompletion
) -> AsyncGenerator[dict[str, Any], None]:
    """The whole object; or its chunks, if the request says `stream`. The last text has the evidence."""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, TextGenerated) and body.stream:
                yield completion.of(event.text, None)
            elif isinstance(event, Answered):
                text = "" if body.stream else event.text
                counts = {} if body.stream else {"usage": usage(event)}
                yield completion.of(text, event.finish_reason, **counts, **evidence(event))
                if body.stream and (body.stream_options or {}).get("include_usage"):
                    yield completion.usage_chunk(event)
