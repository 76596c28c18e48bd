"""Responses without documents: the language model gets a chat completion, and its answer becomes a response.

There the model may call the client's functions.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from models.corpus.conversations import Item
from models.corpus.responses import ResponseStatus
from models.generation.function_calls import CallGatherer, call_deltas
from models.types.generation import CompletionRequest
from serve.api.response_events import ResponseEvents
from serve.api.response_format import JsonObjectFormat
from serve.api.response_items import to_chat_messages
from serve.api.response_object import Body, Draft, Ended, call_item, message_item, usage
from serve.api.response_request import (
    FILE_SEARCH,
    FunctionTool,
    NamedTool,
    ResponseInput,
    ResponseRequest,
    SchemaFormat,
)

Chunks = AsyncGenerator[dict[str, Any], None]


def to_completion(draft: Draft, items: list[Item], request_id: str) -> CompletionRequest:
    """The chat completion that answers the request. Absent fields are the model's choice."""
    request = draft.request
    body = {
        **prompt_fields(request, items),
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "tool_choice": to_choice(request),
        "parallel_tool_calls": request.parallel_tool_calls if request.functions else None,
        "response_format": _to_format(request),
        "reasoning_effort": request.reasoning.model_dump().get("effort") if request.reasoning else None,
    }
    return CompletionRequest(request_id, "chat", {name: value for name, value in body.items() if value is not None})


def prompt_fields(request: ResponseInput, items: list[Item]) -> dict[str, Any]:
    """What the model reads: the fields of a chat completion."""
    tools = [to_tool(tool) for tool in request.functions]
    messages = to_chat_messages(items, request.instructions)
    return {"model": request.model, "messages": messages, **({"tools": tools} if tools else {})}


@dataclass
class Completion:
    """The chunks of a chat completion, gathered."""

    text: str = ""
    finish_reason: str = "stop"
    counts: dict[str, Any] = field(default_factory=dict)
    gatherer: CallGatherer = field(default_factory=CallGatherer)

    def add(self, chunk: dict[str, Any]) -> str:
        """Take in a chunk; its text is returned."""
        self.counts = chunk.get("usage") or self.counts
        text = ""
        for choice in chunk["choices"]:
            delta = choice["delta"]
            text += delta.get("content") or ""
            for piece in call_deltas(delta):
                self.gatherer.add(piece)
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
        self.text += text
        return text

    @property
    def is_cut(self) -> bool:
        return self.finish_reason == "length"

    def message(self, item_id: str) -> Item | None:
        """None if the model only called functions."""
        return message_item(item_id, self.text, (), self.is_cut) if self.text or not self.gatherer.calls else None

    def ended(self, draft: Draft, output: list[Item]) -> Ended:
        status: ResponseStatus = "incomplete" if self.is_cut else "completed"
        values: Body = {
            "usage": usage(self.counts.get("prompt_tokens", 0), self.counts.get("completion_tokens", 0)),
            "incomplete_details": {"reason": "max_output_tokens"} if self.is_cut else None,
            "ignored": ["text.verbosity"] if draft.request.text and draft.request.text.verbosity else [],
        }
        return Ended(status, draft.body(status, **values), tuple(output))


async def plain_answer(chunks: Chunks, draft: Draft, events: ResponseEvents) -> AsyncGenerator[Body | Ended, None]:
    """The events of the output, the message before the calls, then the whole response."""
    completion = Completion()
    async with aclosing(chunks):
        async for chunk in chunks:
            if text := completion.add(chunk):
                for event in events.text(text):
                    yield event
    message = completion.message(events.message_id)
    for event in events.message_end(message) if message else ():
        yield event
    for call in completion.gatherer.calls:
        for event in events.call(call_item(call)):
            yield event
    yield completion.ended(draft, events.output)


def to_tool(tool: FunctionTool) -> dict[str, Any]:
    """The function as a chat completion has it."""
    function = tool.model_dump(exclude={"type"}, exclude_none=True)
    return {"type": "function", "function": function}


def to_choice(request: ResponseRequest) -> Any:
    """OpenAI's tool_choice of a chat completion; None without functions. A search is made in any case."""
    if isinstance(request.tool_choice, NamedTool):
        if request.tool_choice.type == FILE_SEARCH:
            return None
        return {"type": "function", "function": {"name": request.tool_choice.name}}
    return request.tool_choice if request.functions else None


def _to_format(request: ResponseRequest) -> dict[str, Any] | None:
    chosen = request.text.format if request.text else None
    if isinstance(chosen, SchemaFormat):
        schema = chosen.model_dump(exclude={"type"}, exclude_none=True, by_alias=True)
        return {"type": "json_schema", "json_schema": schema}
    return {"type": "json_object"} if isinstance(chosen, JsonObjectFormat) else None
