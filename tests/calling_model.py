"""A language model that calls functions: a server of OpenAI's API with rules in place of weights, over real HTTP.

No model that a CPU runs in a test calls functions well. What is tested is everything around the model.
"""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from models.generation.openai_model import OpenAIGenerationConfig, OpenAIModel
from models.stage_status import StageStatus
from models.types.generation import CompletionRequest, GenerationDelta, GenerationRequest
from models.types.request_context import RequestContext
from tests.remote_server import ScriptedServer, chunk

ALIAS = "qwen3-4b"  # of the catalog: the server stands in for it


def answer_by_rule(body: dict[str, Any]) -> Any:
    """Call the chosen function, or each offered one, as long as no result follows the question; then answer.

    The answer repeats the results, and cites passage 1 if the prompt has passages.
    """
    messages, choice = body["messages"], body.get("tool_choice", "auto")
    question = max(place for place, message in enumerate(messages) if message["role"] == "user")
    results = [message["content"] for message in messages[question:] if message["role"] == "tool"]
    must_call = choice not in ("auto", "none")
    if body.get("tools") and choice != "none" and (must_call or not results):
        names = [choice["function"]["name"]] if isinstance(choice, dict) else _names(body)
        return _sent(body, _calls(body, names), "tool_calls")
    has_passages = re.search(r"^\[1\] ", messages[0]["content"] or "", re.MULTILINE)
    text = " ".join(results) or "No function was called."
    return _sent(body, [{"content": f"{text} The oven heats to 250 degrees. [1]" if has_passages else text}], "stop")


def _names(body: dict[str, Any]) -> list[str]:
    names = [tool["function"]["name"] for tool in body["tools"]]
    return names if body.get("parallel_tool_calls", True) else names[:1]


def _calls(body: dict[str, Any], names: list[str]) -> list[dict[str, Any]]:
    """Pieces of calls, as servers stream them: the arguments come in two."""
    pieces = []
    for index, name in enumerate(names):
        tool = next(tool for tool in body["tools"] if tool["function"]["name"] == name)
        required = (tool["function"].get("parameters") or {}).get("required", [])
        arguments = json.dumps(dict.fromkeys(required, "oven"))
        head = {"id": f"call_{len(body['messages'])}_{index}", "type": "function"}
        pieces.append({"index": index, **head, "function": {"name": name, "arguments": arguments[:5]}})
        pieces.append({"index": index, "function": {"arguments": arguments[5:]}})
    return [{"tool_calls": [piece]} for piece in pieces]


def _sent(body: dict[str, Any], deltas: list[dict[str, Any]], reason: str) -> Any:
    """The chunks of a stream, or the whole object."""
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    if body.get("stream"):
        chunks = [chunk("") for _ in deltas]
        for each, delta in zip(chunks, deltas, strict=True):
            each["choices"][0]["delta"] = delta
        return [*chunks, chunk("", reason) | {"usage": usage}, "[DONE]"]
    message: dict[str, Any] = {"role": "assistant", "content": None}
    for delta in deltas:
        message["content"] = delta.get("content")
        for piece in delta.get("tool_calls", ()):
            calls = message.setdefault("tool_calls", [])
            if piece["index"] == len(calls):
                calls.append(piece)
            else:
                calls[-1]["function"]["arguments"] += piece["function"]["arguments"]
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


class CallingGenerator:
    """The stage that serves the remote model, in this process."""

    def __init__(self, url: str) -> None:
        config = OpenAIGenerationConfig(base_url=url, model="m", max_model_len=8000)
        self.model = OpenAIModel(ALIAS, config)

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        async for delta in self.model.stream(request):
            yield GenerationDelta(**{**vars(delta), "model": ALIAS})

    def complete(self, request: CompletionRequest, context: RequestContext) -> AsyncGenerator[dict[str, Any], None]:
        return self.model.complete(request)

    async def count_tokens(self, request: CompletionRequest, context: RequestContext) -> int:
        return await self.model.count_tokens(request)

    async def status(self, context: RequestContext) -> StageStatus:
        return StageStatus(ALIAS)


@asynccontextmanager
async def calling_generator(server: ScriptedServer) -> AsyncIterator[CallingGenerator]:
    server.script = [answer_by_rule]
    generator = CallingGenerator(server.url)
    await generator.model.start()
    try:
        yield generator
    finally:
        await generator.model.stop()


def sent_bodies(server: ScriptedServer) -> Iterator[dict[str, Any]]:
    """What the model read, request by request."""
    return (body for _, body in server.requests)
