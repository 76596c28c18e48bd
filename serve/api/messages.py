"""POST /v1/messages in Anthropic's shape: the answers of /v1/chat/completions, from documents or as plain chat."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent

from models.errors.base import RagError
from models.errors.requests import InvalidRequestError
from models.functions import ToolCall
from models.generation.citations import Citation
from models.generation.function_calls import CallGatherer, call_deltas
from models.types.generation import CompletionRequest
from models.types.request_context import RequestContext
from serve.api.answers import accept_query
from serve.api.chat_query import as_documents, to_query
from serve.api.context import ContextDep
from serve.api.disconnect import cancel_on_disconnect, start_stream
from serve.api.errors import MESSAGES, anthropic_error_body, error_body, status_of
from serve.api.evidence import evidence
from serve.api.message_request import CountedMessages, MessagesRequest
from serve.api.message_tools import tool_use_block
from serve.api.served_models import completed, counted_tokens, needs_documents, served_adapter
from serve.api.services import ExtraRoute, Services, ServicesDep
from serve.pipelines.answering import Answered, Cited, Event, TextGenerated

router = APIRouter(route_class=ExtraRoute)

STOP_REASONS = {"length": "max_tokens", "tool_calls": "tool_use"}  # every other reason is a turn that ended


@dataclass(frozen=True)
class Ended:
    """The last event: OpenAI's finish reason, the token counts, and for documents the evidence."""

    finish_reason: str
    num_prompt_tokens: int
    num_completion_tokens: int
    fields: dict[str, Any]


Delta = str | Citation | ToolCall | Ended


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


@router.post(f"{MESSAGES}/count_tokens")
async def count_tokens(body: CountedMessages, services: ServicesDep, context: ContextDep) -> dict[str, int]:
    """Counts the tokens of messages, with their system message and tools. Passages come on top."""
    return {"input_tokens": await counted_tokens(body.to_chat(), services, context)}


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
                for call in event.calls:
                    yield call
                counts = (event.num_prompt_tokens, event.num_completion_tokens)
                yield Ended(event.finish_reason, *counts, evidence(event))


async def _of_chunks(chunks: AsyncGenerator[dict[str, Any], None]) -> AsyncGenerator[Delta, None]:
    """The text of OpenAI's chunks, then whole calls; the reason and the counts come in the last ones."""
    finish_reason, usage, gatherer = "stop", dict[str, int](), CallGatherer()
    async with aclosing(chunks):
        async for chunk in chunks:
            usage = chunk.get("usage") or usage
            for choice in chunk["choices"]:
                finish_reason = choice.get("finish_reason") or finish_reason
                if choice["delta"].get("content"):
                    yield choice["delta"]["content"]
                for piece in call_deltas(choice["delta"]):
                    gatherer.add(piece)
    for call in gatherer.calls:
        yield call
    finish_reason = "tool_calls" if gatherer.calls and finish_reason == "stop" else finish_reason
    yield Ended(finish_reason, usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0), {})


@dataclass
class Content:
    """What an answer has so far."""

    text: str = ""
    citations: list[dict[str, Any]] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)


class Message:
    """Anthropic's objects of one answer. `document_index` counts the cited files, in the order of their citations."""

    def __init__(self, request_id: str, model: str) -> None:
        self._head = {"id": f"msg_{request_id}", "type": "message", "role": "assistant", "model": model}
        self._file_ids: list[str] = []

    def whole(self, content: Content, ended: Ended) -> dict[str, Any]:
        texts = [{"type": "text", "text": content.text, "citations": content.citations or None}]
        blocks = [*(texts if content.text or not content.calls else ()), *map(tool_use_block, content.calls)]
        return {**ended.fields, **self._head, "content": blocks, **_stop(ended), "usage": _usage(ended)}

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
    content = Content()
    async with aclosing(deltas):
        async for delta in deltas:
            match delta:
                case str():
                    content.text += delta
                case Citation():
                    content.citations.append(message.citation(delta))
                case ToolCall():
                    content.calls.append(delta)
                case Ended():
                    return message.whole(content, delta)
    raise AssertionError("an answer ends with Ended or raises")


async def _events(deltas: AsyncGenerator[Delta, None], message: Message) -> AsyncIterator[ServerSentEvent]:
    """Anthropic's events: a block of text, if there is a text, and a block a call. An error ends them."""
    blocks = Blocks()
    try:
        yield _sse(message.start())
        async for delta in deltas:
            match delta:
                case str():
                    events = blocks.text({"type": "text_delta", "text": delta})
                case Citation():
                    events = blocks.text({"type": "citations_delta", "citation": message.citation(delta)})
                case ToolCall():
                    events = blocks.call(delta)
                case Ended():
                    events = chain(blocks.end(), (message.end(delta),))
            for event in events:
                yield _sse(event)
        yield _sse({"type": "message_stop"})
    except RagError as error:
        yield _sse(anthropic_error_body(error_body(error), status_of(error)))
    finally:
        await deltas.aclose()


class Blocks:
    """The events of content blocks, numbered from 0. An answer has at least one, which may be empty."""

    def __init__(self) -> None:
        self._index, self._is_open = 0, False

    def text(self, delta: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if not self._is_open:
            yield self._open({"type": "text", "text": ""})
        yield self._event("delta", delta=delta)

    def call(self, call: ToolCall) -> Iterator[dict[str, Any]]:
        yield from self._close()
        yield self._open(tool_use_block(call) | {"input": {}})
        yield self._event("delta", delta={"type": "input_json_delta", "partial_json": call.arguments or "{}"})
        yield from self._close()

    def end(self) -> Iterator[dict[str, Any]]:
        if self._index == 0 and not self._is_open:
            yield self._open({"type": "text", "text": ""})
        yield from self._close()

    def _open(self, block: dict[str, Any]) -> dict[str, Any]:
        self._is_open = True
        return self._event("start", content_block=block)

    def _close(self) -> Iterator[dict[str, Any]]:
        if self._is_open:
            yield self._event("stop")
            self._index, self._is_open = self._index + 1, False

    def _event(self, event: str, **fields: Any) -> dict[str, Any]:
        return {"type": f"content_block_{event}", "index": self._index, **fields}


def _sse(body: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(body, default=BaseModel.model_dump), event=body["type"])
