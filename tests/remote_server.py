"""A server of OpenAI's API that answers as a test tells it to: real HTTP, on a port of its own."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from deployments.cluster.environment import free_port
from tests.patience import PATIENCE_S


class ScriptedServer:
    """Answers each request with the next of `script`, then with the last one again. It records every request.

    A number is a status; a list has the events of a stream, whose connection is cut at None; a function makes a step
    from the body; a Response is sent as it is.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.script: list[Any] = []
        self.headers: dict[str, str] = {}  # of the responses
        self.requests: list[tuple[Request, dict[str, Any]]] = []
        self.num_running = self.max_running = 0
        self.pause_s = 0.0

    async def answer(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append((request, body))
        self.num_running += 1
        self.max_running = max(self.max_running, self.num_running)
        try:
            if self.pause_s:
                await asyncio.sleep(self.pause_s)
            step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            return self._response(step(body) if callable(step) and not isinstance(step, Response) else step)
        finally:
            self.num_running -= 1

    def _response(self, step: Any) -> Response:
        if isinstance(step, Response):
            return step
        if isinstance(step, int):
            body = {"error": {"message": f"status {step}", "param": "top_p"}}
            return JSONResponse(body, step, headers=self.headers)
        if isinstance(step, list):
            return StreamingResponse(_events(step), media_type="text/event-stream")
        return JSONResponse(step)


async def _events(step: list[Any]) -> AsyncIterator[str]:
    for event in step:
        if event is None:
            raise ConnectionResetError
        yield f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n"


def chunk(text: str, finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "scripted", "choices": [choice]}


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    """Serve until the block ends."""
    port = free_port()
    scripted = ScriptedServer(f"http://127.0.0.1:{port}/v1")
    app = Starlette(routes=[Route("/{path:path}", scripted.answer, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    end = time.monotonic() + PATIENCE_S
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < end
        time.sleep(0.01)
    try:
        yield scripted
    finally:
        server.should_exit = True
        thread.join()
