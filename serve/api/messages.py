"""POST /v1/messages in Anthropic's shape: the answers of /v1/chat/completions, from documents or as plain chat."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent

from models.errors import InvalidRequestError, RagError
from models.generation.citations import Citation
from models.types import CompletionRequest, RequestContext
from serve.api.answers import accept_query
from serve.api.chat_query import as_documents, to_query
from serve.api.context import ContextDep
from serve.api.disconnect import cancel_on_disconnect, start_stream
from serve.api.errors import MESSAGES, anthropic_error_body, error_body, status_of
from serve.api.evidence import evidence
from serve.api.message_request import MessagesRequest
from serve.api.served_models import completed, needs_documents, served_adapter
from serve.api.services import ExtraRoute, Services, ServicesDep
from serve.pipelines.answering import Answered, Cited, Event, TextGenerated

router = APIRouter(route_class=ExtraRoute)

STOP_REASONS = {"length": "max_tokens"}  # every other reason is a turn that ended


@dataclass(frozen=True)
class Ended:
    """The last event: OpenAI's finish reason, the token counts, and for documents the evidence."""

    finish_reason: str
    num_prompt_tokens: int
    num_completion_tokens: int
    fields: dict[str, Any]


Delta = str | Citation | Ended


@router.post(MESSAGES, response_model=None)
async def messages(
    body: MessagesRequest, request: Request, services: ServicesDep, context: ContextDep
) -> Response | dict[str, Any]:
    """Answers the last user message: from documents, with citations of characters, or as plain chat."""
    deltas = await _deltas(body, services, context)
    message = Message(context.request_id, body.model)
    with _anthropic_param(body):
        if body.stream:
            return EventSourceResponse(_events(await start_stream(request, deltas), message))
        content = await cancel_on_disconnect(request, _whole(deltas, message))
    return JSONResponse(json.loads(json.dumps(content, default=BaseModel.model_dump)))


@contextmanager
def _anthropic_param(body: MessagesRequest) -> Iterator[None]:
    """An error of the pipeline, which names OpenAI's field, names Anthropic's."""
    try:
        yield
    except InvalidRequestError as error:
        names = {"stop": "stop_sequences"} | ({"messages": "system"} if body.system else {})
        if error.param not in names:
            raise
        raise InvalidRequestError(error.message, names[error.param]) from None


async def _deltas(body: MessagesRequest, services: Services, context: RequestContext) -> AsyncGenerator[Delta, None]:
    plain = CompletionRequest(context.request_id, "chat", body.to_chat())
    if not body.names_documents and not needs_documents(plain, services):
        streamed = {**plain.body, "stream": True, "stream_options": {"include_usage": True}}
        request = CompletionRequest(context.request_id, "chat", streamed)
        return _of_chunks(completed(request, services, context.at_most(services.settings.query.total_s)))
    chat = as_documents(body.to_document_chat())
    query = to_query(chat, await served_adapter(chat.model, services, context), context.tenant)
    return _of_answer(services.query.answer(await accept_query(query, services, "messages"), context))


async def _of_answer(events: AsyncGenerator[Event, None]) -> AsyncGenerator[Delta, None]:
    async with aclosing(events):
        async for event in events:
            if isinstance(event, TextGenerated):
                yield event.text
            elif isinstance(event, Cited):
                yield event.citation
            elif isinstance(event, Answered):
                counts = (event.num_prompt_tokens, event.num_completion_tokens)
                yield Ended(event.finish_reason, *counts, evidence(event))


async def _of_chunks(chunks: AsyncGenerator[dict[str, Any], None]) -> AsyncGenerator[Delta, None]:
    """The text of OpenAI's chunks; the reason and the counts come in the last ones."""
    finish_reason, usage = "stop", dict[str, int]()
    async with aclosing(chunks):
        async for chunk in chunks:
            usage = chunk.get("usage") or usage
            for choice in chunk["choices"]:
                finish_reason = choice.get("finish_reason") or finish_reason
                if choice["delta"].get("content"):
                    yield choice["delta"]["content"]
    yield Ended(finish_reason, usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0), {})


class Message:
    """Anthropic's objects of one answer. `document_index` counts the cited files, in the order of their citations."""

    def __init__(self, request_id: str, model: str) -> None:
        self._head = {"id": f"msg_{request_id}", "type": "message", "role": "assistant", "model": model}
        self._file_ids: list[str] = []

    def whole(self, text: str, citations: list[dict[str, Any]], ended: Ended) -> dict[str, Any]:
        block = {"type": "text", "text": text, "citations": citations or None}
        return {**ended.fields, **self._head, "content": [block], **_stop(ended), "usage": _usage(ended)}

    def start(self) -> dict[str, Any]:
        empty = Ended("", 0, 0, {})
        stop = {"stop_reason": None, "stop_sequence": None}
        return {"type": "message_start", "message": {**self._head, "content": [], **stop, "usage": _usage(empty)}}

    def citation(self, citation: Citation) -> dict[str, Any]:
        file_id = citation.passage.file_id
        if file_id not in self._file_ids:
            self._file_ids.append(file_id)
        return {
            "type": "char_location",
            "cited_text": citation.quote,
            "document_index": self._file_ids.index(file_id),
            "document_title": citation.passage.filename,
            "start_char_index": citation.start,
            "end_char_index": citation.end,
            "file_id": file_id,
        }

    def end(self, ended: Ended) -> dict[str, Any]:
        return {**ended.fields, "type": "message_delta", "delta": _stop(ended), "usage": _usage(ended)}


def _stop(ended: Ended) -> dict[str, Any]:
    return {"stop_reason": STOP_REASONS.get(ended.finish_reason, "end_turn"), "stop_sequence": None}


def _usage(ended: Ended) -> dict[str, int]:
    return {"input_tokens": ended.num_prompt_tokens, "output_tokens": ended.num_completion_tokens}


async def _whole(deltas: AsyncGenerator[Delta, None], message: Message) -> dict[str, Any]:
    texts, citations = list[str](), list[dict[str, Any]]()
    async with aclosing(deltas):
        async for delta in deltas:
            if isinstance(delta, str):
                texts.append(delta)
            elif isinstance(delta, Citation):
                citations.append(message.citation(delta))
            else:
                return message.whole("".join(texts), citations, delta)
    raise AssertionError("an answer ends with Ended or raises")


async def _events(deltas: AsyncGenerator[Delta, None], message: Message) -> AsyncIterator[ServerSentEvent]:
    """Anthropic's events, of one content block. An error ends them."""
    try:
        yield _sse(message.start())
        yield _sse(_block("start", content_block={"type": "text", "text": ""}))
        async for delta in deltas:
            if isinstance(delta, str):
                yield _sse(_block("delta", delta={"type": "text_delta", "text": delta}))
            elif isinstance(delta, Citation):
                yield _sse(_block("delta", delta={"type": "citations_delta", "citation": message.citation(delta)}))
            else:
                yield _sse(_block("stop"))
                yield _sse(message.end(delta))
        yield _sse({"type": "message_stop"})
    except RagError as error:
        yield _sse(anthropic_error_body(error_body(error), status_of(error)))
    finally:
        await deltas.aclose()


def _block(event: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"content_block_{event}", "index": 0, **fields}


def _sse(body: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(body, default=BaseModel.model_dump), event=body["type"])
