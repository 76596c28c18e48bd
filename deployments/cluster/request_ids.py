"""One id for each HTTP request: a valid one of the caller's, or a new one. Serve's own layer would add another."""

import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-request-id"
REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def request_id_of(scope: Scope) -> str:
    """The caller's id if it is valid, otherwise a new one."""
    caller_id = Headers(scope=scope).get(HEADER, "")
    return caller_id if REQUEST_ID.fullmatch(caller_id) else f"req_{uuid.uuid4().hex}"


class OneRequestId:
    """Gives the request and its response one id. Serve would copy any id of the caller's beside the service's."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        MutableHeaders(scope=scope)[HEADER] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        await self.app(scope, receive, send_with_id)


def middlewares() -> list[Middleware]:
    """What Serve's HTTP servers call when they start: RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names it."""
    return [Middleware(OneRequestId)]
