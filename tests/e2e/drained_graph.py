"""A graph like ours whose stages sleep, called through our clients. A drain must not interrupt its requests."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from ray import serve as ray_serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import StreamingResponse

from deployments.calls.client import StageClient
from deployments.calls.envelope import Envelope
from deployments.calls.ray_handle import RayHandle
from models.types.request_context import RequestContext
from tests.contexts import within

SEARCH_S, TOKEN_S, NUM_TOKENS = 0.02, 0.05, 20
BUDGET_S = 60.0


class Search:
    async def search(self, items: list[str], envelopes: list[Envelope]) -> list[str]:
        await asyncio.sleep(SEARCH_S)
        return items


class Generate:
    async def stream(self, question: str) -> AsyncIterator[str]:
        for number in range(NUM_TOKENS):
            await asyncio.sleep(TOKEN_S)
            yield f"{question} {number}"


class Ingress:
    def __init__(self, search: DeploymentHandle[Any], generate: DeploymentHandle[Any]) -> None:
        self._search = StageClient(RayHandle(search), "search")
        self._generate = StageClient(RayHandle(generate), "generate")

    async def __call__(self, request: Request) -> StreamingResponse:
        context = within(BUDGET_S)
        query = await self._search.shared_call("search", (await request.json())["query"], context)
        return StreamingResponse(self._events(query, context), media_type="text/event-stream")

    async def _events(self, query: str, context: RequestContext) -> AsyncIterator[str]:
        async for text in self._generate.stream_call("stream", query, context=context):
            yield f"data: {json.dumps({'text': text})}\n\n"
        yield "data: [DONE]\n\n"


def build(_: dict[str, str]) -> Application:
    """The ingress and its stages. The config sets their replicas and labels."""
    search, generate = ray_serve.deployment(Search).bind(), ray_serve.deployment(Generate).bind()
    return ray_serve.deployment(Ingress).bind(search, generate)
