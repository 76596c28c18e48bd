"""ASGI layers around the routes, outermost first: request id, access log and metrics, JSON by default."""

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.telemetry import metrics
from models.errors import PayloadTooLargeError
from serve.api.errors import error_body, status_of

logger = logging.getLogger("ragserve.access")
# Borders and headers of the parts of an upload, beside the file itself.
MULTIPART_OVERHEAD_BYTES = 64 * 1024
REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class RequestContext:
    """Gives each request an id (the caller's `x-request-id` if it is a sane one), logs it, counts and times it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
        scope.setdefault("state", {})["request_id"] = request_id
        start, status = time.perf_counter(), 499

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            self._observe(scope, request_id, status, time.perf_counter() - start)

    def _observe(self, scope: Scope, request_id: str, status: int, elapsed_s: float) -> None:
        # The route's template, never the path itself: a label must be bounded, and a log free of ids and queries.
        route = getattr(scope.get("route"), "path", "unmatched")
        metrics.HTTP_REQUESTS.labels(scope["method"], route, str(status)).inc()
        metrics.HTTP_SECONDS.labels(scope["method"], route).observe(elapsed_s)
        logger.info("%s %s %d %.1fms %s", scope["method"], route, status, elapsed_s * 1000, request_id)


class BodyLimit:
    """Refuses a body that says it is too long before it is read, and cuts off one that turns out to be."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared) > self.max_bytes:
            error = PayloadTooLargeError(f"the body is longer than {self.max_bytes} bytes")
            await JSONResponse(error_body(error), status_of(error))(scope, receive, send)
            return
        num_bytes = 0

        async def counted() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self.max_bytes:
                raise PayloadTooLargeError(f"the body is longer than {self.max_bytes} bytes")
            return message

        await self.app(scope, counted, send)


class JsonByDefault:
    """A body with no content type, or with that of curl's `-d`, is read as JSON: no route takes such a form."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("POST", "PUT", "PATCH"):
            headers = MutableHeaders(scope=scope)
            if headers.get("content-type", "").split(";")[0].strip() in ("", "application/x-www-form-urlencoded"):
                headers["content-type"] = "application/json"
        await self.app(scope, receive, send)
