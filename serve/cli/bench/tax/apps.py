"""The applications of `ragserve bench tax`: an ingress and two echo stages, by our clients and as plain Ray Serve."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.calls.client import StageClient
from deployments.calls.coalescer import AS_SHIPPED, CoalescingConfig
from deployments.calls.handle import Handle
from deployments.calls.inline import InlineStage
from deployments.calls.ray_handle import RayHandle
from serve.cli.driver.serve_graph import new_context

BUDGET_S = 60.0
PATH = "/echo"

Answer = Callable[[str], Awaitable[str]]


class EchoBody(BaseModel):
    text: str


def echo_app(answer: Answer) -> FastAPI:
    """The same HTTP for all of them."""
    app = FastAPI()

    @app.post(PATH)
    async def echo(body: EchoBody) -> EchoBody:
        return EchoBody(text=await answer(body.text))

    return app


@serve.ingress()
class PlainIngress:
    """As Ray Serve's documentation composes deployments: a handle a stage, a call a request."""

    def __init__(self, first: DeploymentHandle[Any], second: DeploymentHandle[Any]) -> None:
        self._first, self._second = first, second

    def __serve_build_asgi_app__(self) -> FastAPI:
        return echo_app(self._answer)

    async def _answer(self, text: str) -> str:
        answer: str = await self._second.run.remote(await self._first.run.remote(text))
        return answer


@serve.ingress()
class OurIngress:
    """The same graph through the clients that the request path uses."""

    def __init__(
        self,
        first: DeploymentHandle[Any] | InlineStage,
        second: DeploymentHandle[Any] | InlineStage,
        coalescing: CoalescingConfig = AS_SHIPPED,
    ) -> None:
        self._stages = [_client(stage, coalescing) for stage in (first, second)]

    def __serve_build_asgi_app__(self) -> FastAPI:
        return echo_app(self._answer)

    async def _answer(self, text: str) -> str:
        context = new_context(BUDGET_S)
        for stage in self._stages:
            text = await stage.shared_call("run_all", text, context)
        return text


def _client(stage: DeploymentHandle[Any] | InlineStage, coalescing: CoalescingConfig) -> StageClient:
    handle: Handle = stage.open() if isinstance(stage, InlineStage) else RayHandle(stage)
    return StageClient(handle, "echo", coalescing)


@serve.ingress()
class LoneIngress:
    """An ingress without stages."""

    def __serve_build_asgi_app__(self) -> FastAPI:
        return echo_app(_echo)


async def _echo(text: str) -> str:
    return text


def bare_app() -> FastAPI:
    """For uvicorn, without Ray."""
    return echo_app(_echo)
