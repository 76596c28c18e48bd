"""A language model behind a URL: a server of OpenAI's API on the loopback address, with one sentence for weights."""

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
from starlette.responses import StreamingResponse
from starlette.routing import Route

from deployments.cluster.environment import free_port
from serve.cli.driver.servers import HOST

ALIAS = "incident-model"  # in the catalog of the service
TEXT = "The documents say so. [1]"
USAGE = {"prompt_tokens": 500, "completion_tokens": 8, "total_tokens": 508}
QUICK_S, START_TIMEOUT_S = 0.05, 30.0


class ModelServer:
    """It answers each request after `pause_s` seconds, with a sentence that cites the first passage."""

    def __init__(self, port: int) -> None:
        self.url = f"http://{HOST}:{port}/v1"
        self.pause_s = QUICK_S

    @property
    def catalog(self) -> dict[str, Any]:
        """A catalog with the model."""
        options = {"base_url": self.url, "model": ALIAS, "max_model_len": 8000, "max_concurrency": 64}
        return {"generation": {ALIAS: {"kind": "openai", "licence": "none", "options": options}}}

    async def answer(self, request: Request) -> StreamingResponse:
        await request.body()
        await asyncio.sleep(self.pause_s)
        return StreamingResponse(_events(), media_type="text/event-stream")


async def _events() -> AsyncIterator[str]:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": ALIAS}
    for delta, reason in (({"content": TEXT}, None), ({}, "stop")):
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        usage = {"usage": USAGE} if reason else {}
        yield f"data: {json.dumps({**head, 'choices': [choice], **usage})}\n\n"
    yield "data: [DONE]\n\n"


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """It answers until the block ends."""
    port = free_port()
    model = ModelServer(port)
    app = Starlette(routes=[Route("/v1/chat/completions", model.answer, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, host=HOST, port=port, log_level="critical", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    end = time.monotonic() + START_TIMEOUT_S
    while not server.started and thread.is_alive() and time.monotonic() < end:
        time.sleep(0.01)
    try:
        yield model
    finally:
        server.should_exit = True
        thread.join()
