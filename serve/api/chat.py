"""POST /v1/chat/completions in OpenAI's shape: answers from documents, as /v1/query gives them, or plain chat.

The request is answered from documents if it names vector stores, or the service itself as its model. So it is if its
model only quotes, and it brings no context to quote. One that names a language model is plain chat: see plain_chat.
"""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent

from models.errors.base import RagError
from models.functions import CallDelta
from models.generation.citations import Citation, Marker
from models.generation.own_context import PROMPT
from serve.api.answers import accept_query, final_answer, usage
from serve.api.chat_query import as_documents, to_query
from serve.api.chat_request import AnyChatRequest, ChatRequest
from serve.api.context import ContextDep
from serve.api.disconnect import cancel_on_disconnect, start_stream
from serve.api.errors import error_body
from serve.api.evidence import evidence, to_location
from serve.api.function_tools import call_body
from serve.api.plain_chat import PlainChat, plain_response
from serve.api.public_url import public_base
from serve.api.served_models import needs_documents, served_adapter
from serve.api.services import ExtraRoute, ServicesDep
from serve.pipelines.answering import Answered, CallGenerated, Event, TextGenerated

router = APIRouter(route_class=ExtraRoute)


@router.post("/v1/chat/completions", response_model=None)
async def chat_completions(
    body: AnyChatRequest, request: Request, services: ServicesDep, context: ContextDep
) -> Response | dict[str, Any]:
    """Answers the last user message: from documents, with `citations` and `annotations`, or as plain chat."""
    if isinstance(body, PlainChat):
        plain = body.to_request("chat", context.request_id)
        if not needs_documents(plain, services):
            return await plain_response(plain, request, services, context)
        body = as_documents(plain.body)
    query = to_query(body, await served_adapter(body.model, services, context), context.tenant)
    query = await accept_query(query, services, "messages")
    completion = Completion(context.request_id, body, public_base(request, services.settings.api))
    if body.stream:
        include_usage = body.stream_options is not None and body.stream_options.include_usage
        events = await start_stream(request, services.query.answer(query, context))
        return EventSourceResponse(_chunks(events, completion, include_usage))
    return completion.response(await cancel_on_disconnect(request, final_answer(query, services, context)))


class Completion:
    """Build the response, or its chunks; all of them share an id, a time and a model."""

    def __init__(self, request_id: str, body: ChatRequest, base_url: str) -> None:
        self._id, self._model, self._created = f"chatcmpl-{request_id}", body.model, int(time.time())
        self._metadata = body.metadata
        self._base_url = base_url.rstrip("/")

    def response(self, event: Answered) -> dict[str, Any]:
        content = event.text if event.text or not event.calls else None
        message = {"role": "assistant", "content": content, "refusal": None, "annotations": self._annotations(event)}
        if event.calls:
            message["tool_calls"] = [call_body(call) for call in event.calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": event.finish_reason}
        head = {**self._head("chat.completion"), "metadata": self._metadata}
        return {**head, "choices": [choice], "usage": usage(event), **evidence(event)}

    def chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def last_chunk(self, event: Answered) -> dict[str, Any]:
        """The chunk with the finish_reason. It also has the evidence, which OpenAI's chunks do not."""
        delta = {"annotations": self._annotations(event)}
        return {**self.chunk(delta, event.finish_reason), **evidence(event)}

    def usage_chunk(self, event: Answered) -> dict[str, Any]:
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": usage(event)}

    def _head(self, kind: str) -> dict[str, Any]:
        head = {"id": self._id, "object": kind, "created": self._created, "model": self._model}
        return {**head, "service_tier": "default"}

    def _annotations(self, event: Answered) -> list[dict[str, Any]]:
        """OpenAI's url_citation for each citation marker in the text."""
        by_id = {citation.id: citation for citation in event.citations}
        return [
            {"type": "url_citation", "url_citation": self._url_citation(by_id[marker.citation_id], marker)}
            for marker in event.markers
        ]

    def _url_citation(self, citation: Citation, marker: Marker) -> dict[str, Any]:
        if citation.passage.file_id == PROMPT:
            place = {"start_index": marker.start, "end_index": marker.end}
            return {"url": f"#{PROMPT}:char={citation.start},{citation.end}", "title": PROMPT, **place}
        # The fragment names a span of a text/plain resource by characters: RFC 5147.
        text_url = f"{self._base_url}/v1/files/{citation.passage.file_id}/text"
        url = f"{text_url}#char={citation.start},{citation.end}"
        place = {"start_index": marker.start, "end_index": marker.end}
        source = {"url": url, "title": citation.passage.filename, "location": to_location(citation.location)}
        return {**source, **place}


async def _chunks(
    events: AsyncGenerator[Event, None], completion: Completion, include_usage: bool
) -> AsyncIterator[ServerSentEvent]:
    """OpenAI's chunks: the role, the text, the finish_reason, the usage if requested, [DONE]. An error ends them."""
    try:
        yield _sse(completion.chunk({"role": "assistant", "content": ""}))
        async for event in events:
            if isinstance(event, TextGenerated):
                yield _sse(completion.chunk({"content": event.text}))
            elif isinstance(event, CallGenerated):
                yield _sse(completion.chunk({"tool_calls": [_piece(event.piece)]}))
            elif isinstance(event, Answered):
                yield _sse(completion.last_chunk(event))
                if include_usage:
                    yield _sse(completion.usage_chunk(event))
        yield ServerSentEvent("[DONE]")
    except RagError as error:
        yield _sse(error_body(error))
    finally:
        await events.aclose()


def _piece(piece: CallDelta) -> dict[str, Any]:
    """OpenAI's piece of a call. The first one has the id and the name."""
    function = {"name": piece.name} if piece.name else {}
    head = {"id": piece.call_id, "type": "function"} if piece.call_id else {}
    return {"index": piece.index, **head, "function": {**function, "arguments": piece.arguments}}


def _sse(body: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(body, default=BaseModel.model_dump))
