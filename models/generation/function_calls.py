"""Calls of a client's functions: as a chat completion carries them, and gathered from its chunks."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from models.errors.stages import StageUnavailableError
from models.functions import CallDelta, Functions, ToolCall
from models.generation.own_context import prompt_passage
from models.generation.quoted_completion import conversation
from models.types.chunks import Passage
from models.types.generation import ChatMessage, CompletionRequest, GenerationDelta

STAGE = "generate"
TOOL = "tool"  # the role of a function's result


class CallGatherer:
    """Puts the calls of an answer together from their pieces."""

    def __init__(self) -> None:
        self._calls: dict[int, ToolCall] = {}

    def add(self, piece: CallDelta) -> None:
        call = self._calls.get(piece.index, ToolCall("", "", ""))
        call_id = call.call_id or piece.call_id
        self._calls[piece.index] = ToolCall(call_id, call.name + piece.name, call.arguments + piece.arguments)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        return tuple(call for _, call in sorted(self._calls.items()))


def call_deltas(delta: Mapping[str, Any]) -> tuple[CallDelta, ...]:
    """The pieces of calls in the `delta` of a chunk."""
    return tuple(_to_piece(each) for each in delta.get("tool_calls") or ())


def _to_piece(each: Mapping[str, Any]) -> CallDelta:
    function = each.get("function") or {}
    name, arguments = function.get("name") or "", function.get("arguments") or ""
    index = each.get("index")  # some servers send none
    return CallDelta(index if isinstance(index, int) else 0, each.get("id") or "", name, arguments)


def function_fields(functions: Functions | None) -> dict[str, Any]:
    """The fields of a chat completion that offer `functions`; none without functions."""
    if functions is None or not functions.tools:
        return {}
    parallel = {} if functions.is_parallel is None else {"parallel_tool_calls": functions.is_parallel}
    return {"tools": list(functions.tools), "tool_choice": functions.choice, **parallel}


def to_chat(message: ChatMessage, escape: Callable[[str], str] = str) -> dict[str, Any]:
    """OpenAI's message. `escape` is applied to every text that is not ours."""
    content = escape(message.content)
    if message.role == TOOL:
        return {"role": TOOL, "tool_call_id": message.call_id, "content": content}
    if not message.calls:
        return {"role": message.role, "content": content}
    calls = [
        {
            "id": call.call_id,
            "type": "function",
            "function": {"name": call.name, "arguments": escape(call.arguments)},
        }
        for call in message.calls
    ]
    return {"role": message.role, "content": content or None, "tool_calls": calls}


def chat_messages(request: CompletionRequest) -> list[ChatMessage]:
    """The messages of a chat completion, with their calls."""
    pairs = zip(conversation(request), request.body["messages"], strict=True)
    return [
        replace(message, calls=_calls_of(raw), call_id=str(raw.get("tool_call_id") or "")) for message, raw in pairs
    ]


def _calls_of(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    gatherer = CallGatherer()
    for index, piece in enumerate(call_deltas(message)):
        gatherer.add(replace(piece, index=index))
    return gatherer.calls


def call_text(message: ChatMessage) -> str:
    """The calls of a message, as text whose tokens can be estimated."""
    return "".join(call.name + call.arguments for call in message.calls)


def functions_text(functions: Functions | None) -> str:
    return json.dumps(functions.tools, ensure_ascii=False) if functions and functions.tools else ""


def without_calls(messages: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
    """The conversation up to its question, for a model that calls nothing: texts alone."""
    last = max(place for place, message in enumerate(messages) if message.role == "user")
    turns = (ChatMessage(turn.role, turn.content) for turn in messages[: last + 1] if turn.role != TOOL)
    return tuple(turn for turn in turns if turn.content.strip())


def results(messages: Sequence[ChatMessage]) -> tuple[Passage, ...]:
    """What functions returned, as passages that support an answer."""
    return tuple(prompt_passage(message.content) for message in messages if message.role == TOOL)


async def deltas_of(
    chunks: AsyncGenerator[dict[str, Any], None], marks: tuple[()] | None = None
) -> AsyncGenerator[GenerationDelta, None]:
    """The chunks of a chat completion as deltas. Raises StageUnavailableError if they end without a reason."""
    finish_reason, usage = None, dict[str, int]()
    async with aclosing(chunks):
        async for chunk in chunks:
            usage = chunk.get("usage") or usage
            for choice in chunk.get("choices") or ():
                finish_reason = choice.get("finish_reason") or finish_reason
                delta = choice.get("delta") or {}
                text, calls = delta.get("content") or "", call_deltas(delta)
                if text or calls:
                    yield GenerationDelta(text, marks=marks, calls=calls)
    if finish_reason is None:  # the server closed the stream in the middle
        raise StageUnavailableError(STAGE)
    counts = (usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0)
    yield GenerationDelta("", finish_reason, *counts, marks=marks)
