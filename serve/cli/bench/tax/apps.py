"""What `ragserve bench tax` compares: an ingress and two echo stages, through our clients and as plain Ray Serve."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from pydantic import BaseModel
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.calls.client import StageClient
from deployments.calls.coalescer import AS_SHIPPED, CoalescingConfig
from deployments.calls.envelope import Envelope
from deployments.calls.inline import InlineStage
from models.types import DEFAULT_TENANT, Deadline, RequestContext

BUDGET_S = 60.0
PATH = "/echo"

Answer = Callable[[str], Awaitable[str]]


class EchoBody(BaseModel):
    text: str


class Echo:
    """A stage that costs nothing, so that what is measured is the way to it."""

    async def echo(self, text: str) -> str:
        return text

    async def echo_all(self, texts: list[str], envelopes: list[Envelope]) -> list[str]:
        """A message of concurrent calls."""
        return texts


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

    def __init__(self, first: DeploymentHandle, second: DeploymentHandle) -> None:
        self._first, self._second = first, second

    def __serve_build_asgi_app__(self) -> FastAPI:
        return echo_app(self._answer)

    async def _answer(self, text: str) -> str:
        return await self._second.echo.remote(await self._first.echo.remote(text))


@serve.ingress()
class OurIngress:
    """The same graph through the clients that the request path uses."""

    def __init__(
        self,
        first: DeploymentHandle | InlineStage,
        second: DeploymentHandle | InlineStage,
        coalescing: CoalescingConfig = AS_SHIPPED,
    ) -> None:
        handles = [stage.open() if isinstance(stage, InlineStage) else stage for stage in (first, second)]
        self._first, self._second = (StageClient(handle, "echo", coalescing) for handle in handles)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return echo_app(self._answer)

    async def _answer(self, text: str) -> str:
        context = RequestContext("bench", DEFAULT_TENANT, Deadline.after(BUDGET_S))
        return await self._second.shared_call(
            "echo_all", await self._first.shared_call("echo_all", text, context), context
        )


@serve.ingress()
class LoneIngress:
    """An ingress with no stage behind it."""

    def __serve_build_asgi_app__(self) -> FastAPI:
        return echo_app(_same)


async def _same(text: str) -> str:
    return text


def bare_app() -> FastAPI:
    """For uvicorn, without Ray."""
    return echo_app(_same)
