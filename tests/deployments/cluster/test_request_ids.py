"""One request id in a response, though Serve's own layer copies what a caller sent."""

import httpx
import pytest
from ray.serve._private.http_util import _apply_middlewares
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from deployments.cluster.request_ids import HEADER, REQUEST_ID, middlewares
from serve.middleware import RequestLog


async def state_of(request: Request) -> PlainTextResponse:
    """The id that the service's log and errors have."""
    return PlainTextResponse(request.state.request_id)


async def answer(*headers: tuple[bytes, bytes]) -> httpx.Response:
    """From the service's layer inside those of Serve's HTTP server, in Serve's order."""
    app = _apply_middlewares(RequestLog(Starlette(routes=[Route("/", state_of)])), middlewares())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        return await client.get("/", headers=list(headers))


async def test_a_valid_id_of_the_callers_is_the_only_one() -> None:
    response = await answer((b"x-request-id", b"req-7"))

    assert response.headers.get_list(HEADER) == ["req-7"] == [response.text]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"x-request-id", b"")],
        [(b"x-request-id", "zwölf".encode("latin-1"))],
        [(b"x-request-id", "zwölf".encode())],
        [(b"x-request-id", b"x" * 129)],
        [(b"x-request-id", b"two words")],
        [(b"x-request-id", b"bad id"), (b"X-Request-Id", b"bad too")],
    ],
    ids=["none", "empty", "latin-1", "utf-8", "long", "space", "twice"],
)
async def test_an_invalid_id_is_replaced_everywhere(headers: list[tuple[bytes, bytes]]) -> None:
    response = await answer(*headers)

    (request_id,) = response.headers.get_list(HEADER)
    assert request_id == response.text
    assert request_id.startswith("req_")
    assert REQUEST_ID.fullmatch(request_id)
