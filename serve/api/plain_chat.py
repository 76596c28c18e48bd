"""Chat and completions without documents: the language model gets OpenAI's request, and its answer is sent as it is."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, ClassVar, Literal

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from sse_starlette import EventSourceResponse, ServerSentEvent

from models.errors.base import RagError
from models.errors.requests import InvalidRequestError
from models.types.generation import CompletionRequest
from models.types.request_context import RequestContext
from serve.api.disconnect import cancel_on_disconnect, start_stream
from serve.api.errors import error_body
from serve.api.json_schema import check_schema
from serve.api.served_models import completed
from serve.api.services import Services

MAX_CHOICES = 128  # OpenAI's
SEARCH_FIELDS = (
    "vector_store_ids",
    "max_num_results",
    "filters",
    "mode",
    "degrade",
    "ranking_options",
    "response_mode",
    "language",
    "length",
)


class PlainRequest(BaseModel):
    """The fields that this service checks. The language model gets every field, and checks the others itself."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str
    stream: bool | None = False
    n: int | None = Field(default=1, ge=1, le=MAX_CHOICES)

    search_advice: ClassVar[str] = "add vector_store_ids"

    @model_validator(mode="before")
    @classmethod
    def _no_search(cls, body: Any) -> Any:
        for name in SEARCH_FIELDS:
            if isinstance(body, dict) and body.get(name) is not None:
                raise InvalidRequestError(f"{name} needs documents to search; {cls.search_advice}", name)
        return body

    def to_request(self, kind: Literal["chat", "completion"], request_id: str) -> CompletionRequest:
        return CompletionRequest(request_id, kind, self.model_dump(exclude_unset=True))


class PlainChat(PlainRequest):
    """OpenAI's chat request to a language model or one of its adapters."""

    messages: list[dict[str, Any]] = Field(min_length=1, max_length=1024)
    response_format: Any = None

    @field_validator("response_format")
    @classmethod
    def _has_end(cls, response_format: Any) -> Any:
        named = response_format.get("json_schema") if isinstance(response_format, dict) else None
        schema = named.get("schema") if isinstance(named, dict) else None
        if isinstance(schema, dict):
            check_schema(schema)
        return response_format

    @field_validator("messages")
    @classmethod
    def _no_remote_media(cls, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        # The engine would fetch any address that its machine can reach.
        if any(_is_remote(block) for message in messages for block in _blocks(message)):
            raise PydanticCustomError("media", "send images, audio and video as data: URLs; other URLs are refused")
        return messages


async def plain_response(
    completion: CompletionRequest, request: Request, services: Services, context: RequestContext
) -> Response | dict[str, Any]:
    """The model's answer: OpenAI's object, or a stream of chunks if the request has `stream`."""
    answers = completed(completion, services, context.at_most(services.settings.query.total_s))
    return await send(answers, bool(completion.body.get("stream")), request)


async def send(
    answers: AsyncGenerator[dict[str, Any], None], is_stream: bool, request: Request
) -> Response | dict[str, Any]:
    """OpenAI's objects: the last one, or a stream of all of them."""
    if is_stream:
        return EventSourceResponse(_events(await start_stream(request, answers)))
    return await cancel_on_disconnect(request, _last(answers))


async def _last(answers: AsyncGenerator[dict[str, Any], None]) -> dict[str, Any]:
    async with aclosing(answers):
        *_, last = [answer async for answer in answers]
    return last


async def _events(chunks: AsyncGenerator[dict[str, Any], None]) -> AsyncIterator[ServerSentEvent]:
    """The chunks, then [DONE]. An error ends the stream."""
    try:
        async for chunk in chunks:
            yield ServerSentEvent(
                json.dumps(chunk, ensure_ascii=False, separators=(",", ":"), default=BaseModel.model_dump)
            )
        yield ServerSentEvent("[DONE]")
    except RagError as error:
        yield ServerSentEvent(json.dumps(error_body(error)))
    finally:
        await chunks.aclose()


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The content parts of a message; none for a plain string."""
    content = message.get("content")
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _is_remote(block: dict[str, Any]) -> bool:
    urls = [
        value.get("url") if isinstance(value, dict) else value for key, value in block.items() if key.endswith("_url")
    ]
    return not all(isinstance(url, str) and url.startswith("data:") for url in urls)
