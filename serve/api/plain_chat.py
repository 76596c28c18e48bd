"""Chat and completions without documents: OpenAI's requests go to the language model as they are, and come back so."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Literal

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from sse_starlette import EventSourceResponse, ServerSentEvent

from models.errors import RagError
from models.types import CompletionRequest, Deadline
from serve.api.disconnect import begun, unless_disconnected
from serve.api.errors import error_body
from serve.api.services import Services

MAX_CHOICES = 128  # OpenAI's
SEARCH_FIELDS = ("filters", "mode", "ranking_options")


class PlainRequest(BaseModel):
    """What is ours to check of a request; every other field is the language model's, which checks it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str
    stream: bool | None = False
    n: int | None = Field(default=1, ge=1, le=MAX_CHOICES)

    def to_request(self, kind: Literal["chat", "completion"], request_id: str) -> CompletionRequest:
        return CompletionRequest(request_id, kind, self.model_dump(exclude_unset=True))


class PlainChat(PlainRequest):
    """OpenAI's chat request to a language model or one of its adapters."""

    messages: list[dict[str, Any]] = Field(min_length=1, max_length=1024)

    @model_validator(mode="before")
    @classmethod
    def _searches_nothing(cls, body: Any) -> Any:
        for name in SEARCH_FIELDS:
            if isinstance(body, dict) and body.get(name) is not None:
                raise PydanticCustomError("search", "{name} needs documents: add vector_store_ids", {"name": name})
        return body

    @field_validator("messages")
    @classmethod
    def _bring_their_media(cls, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        # The engine would fetch any address that its machine can reach.
        if any(_is_remote(part) for message in messages for part in _parts(message)):
            raise PydanticCustomError("media", "images, audio and video must be data: URLs; nothing is fetched")
        return messages


async def plain_response(asked: CompletionRequest, request: Request, services: Services) -> Response | dict[str, Any]:
    """The model's answer: OpenAI's object, or a stream of its chunks if the body says so."""
    answers = services.completions.complete(asked, Deadline.after(services.settings.query.total_s))
    if asked.body.get("stream"):
        return EventSourceResponse(_events(await begun(request, answers)))
    return await unless_disconnected(request, _last(answers))


async def _last(answers: AsyncGenerator[dict[str, Any], None]) -> dict[str, Any]:
    async with aclosing(answers):
        *_, last = [answer async for answer in answers]
    return last


async def _events(chunks: AsyncGenerator[dict[str, Any], None]) -> AsyncIterator[ServerSentEvent]:
    """The chunks, then [DONE]; or an error, which ends the stream."""
    try:
        async for chunk in chunks:
            yield ServerSentEvent(json.dumps(chunk, ensure_ascii=False, separators=(",", ":")))
        yield ServerSentEvent("[DONE]")
    except RagError as error:
        yield ServerSentEvent(json.dumps(error_body(error)))
    finally:
        await chunks.aclose()


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _is_remote(part: dict[str, Any]) -> bool:
    urls = [
        value.get("url") if isinstance(value, dict) else value for key, value in part.items() if key.endswith("_url")
    ]
    return not all(isinstance(url, str) and url.startswith("data:") for url in urls)
