"""ASGI layers around the routes, outermost first: request id, access log and metrics; limits; JSON by default."""

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.cluster.request_ids import HEADER
from deployments.telemetry.access_log import ACCESS_LOG
from deployments.telemetry.logs import LoggedRequest, log_as
from deployments.telemetry.metrics.http import HTTP_REQUESTS, HTTP_SECONDS
from deployments.telemetry.metrics.tenants import TENANT_NAMES, TENANT_REQUESTS
from deployments.telemetry.otlp import SERVER_ERROR, Tracer
from deployments.telemetry.spans import Span
from deployments.telemetry.trace_context import trace_context_of, unrecorded
from models.errors.base import RagError
from models.errors.limits import OverloadedError
from serve.access.caller import Caller
from serve.access.counters import MemoryCounters
from serve.access.limits import LimitsConfig, RequestLimits, rate_headers
from serve.admission import Admission
from serve.api.disconnect import ClientDisconnectedError
from serve.api.errors import refusal
from serve.request_body import BodyReader

CLIENT_LEFT = 499  # as nginx counts it


class StatusNoted:
    """A `send` that notes the response's status; CLIENT_LEFT if none was sent."""

    def __init__(self, send: Send) -> None:
        self._send, self.status = send, CLIENT_LEFT

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


class RequestTrace:
    """Gives each request its place in a trace: in its caller's, if it has one. Records it if there is a tracer."""

    def __init__(self, app: ASGIApp, tracer: Tracer | None) -> None:
        self.app, self.tracer = app, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        callers = trace_context_of(Headers(scope=scope).get("traceparent", ""))
        state = scope.setdefault("state", {})
        if self.tracer is None:
            state["trace_context"] = unrecorded(callers)
            await self.app(scope, receive, send)
            return
        await self._record(self.tracer, callers, scope, receive, send)

    async def _record(self, tracer: Tracer, callers: str, scope: Scope, receive: Receive, send: Send) -> None:
        sending = StatusNoted(send)
        recorder = tracer.begin(scope["method"], callers)
        try:
            with recorder:
                scope["state"]["trace_context"] = recorder.root.traceparent
                try:
                    await self.app(scope, receive, sending)
                finally:
                    _describe(recorder.root, scope, sending.status)
        finally:
            tracer.end(recorder, sending.status, callers)


def _describe(root: Span, scope: Scope, status: int) -> None:
    route = getattr(scope.get("route"), "path", "unmatched")
    root.name = f"{scope['method']} {route}"
    root.error = str(status) if status >= SERVER_ERROR else ""
    root.attributes.update(
        {
            "http.request.method": scope["method"],
            "http.route": route,
            "http.response.status_code": status,
            "ragserve.request_id": scope["state"].get("request_id", ""),
            "ragserve.tenant": scope["state"].get("tenant", ""),
        }
    )


class RequestLog:
    """Logs each request by the id that OneRequestId gave it, counts it and times it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, state = Headers(scope=scope)[HEADER], scope.setdefault("state", {})
        state["request_id"] = request_id
        log_as(LoggedRequest(request_id, trace_context=state.setdefault("trace_context", "")))
        start, sending = time.perf_counter(), StatusNoted(send)
        try:
            await self.app(scope, receive, sending)
        finally:
            self._observe(scope, sending.status, time.perf_counter() - start)

    def _observe(self, scope: Scope, status: int, elapsed_s: float) -> None:
        # The route's template, never the path: labels must be bounded, and logs must not hold ids or queries.
        route = getattr(scope.get("route"), "path", "unmatched")
        if tenant := scope["state"].get("tenant"):
            TENANT_REQUESTS.labels(TENANT_NAMES.label(tenant)).inc()
        HTTP_REQUESTS.labels(scope["method"], route, str(status)).inc()
        HTTP_SECONDS.labels(scope["method"], route).observe(elapsed_s)
        if ACCESS_LOG.is_on:
            fields = {"method": scope["method"], "route": route, "status": status, "elapsed_s": round(elapsed_s, 4)}
            ACCESS_LOG.add(f"{scope['method']} {route} {status} {elapsed_s * 1000:.1f} ms", fields)


@dataclass(frozen=True)
class LimitedRoute:
    """A route before the router has run: its template labels the metrics of a refusal."""

    path: str
    pattern: re.Pattern[str]


# The routes that make a stage compute. Files, stores and probes have no limit here: an operator needs them during an
# overload, and ingestion has its queue in the database.
LIMITED = (
    "/v1/query",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/responses/input_tokens",
    "/v1/responses/compact",
    "/v1/completions",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/mcp",
    "/v1/vector_stores/{vector_store_id}/search",
    "/v1/embeddings",
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
)
LIMITED_ROUTES = tuple(LimitedRoute(path, compile_path(path)[0]) for path in LIMITED)


class AdmissionLimit:
    """Refuses a question above the limit. An admitted one counts until its answer has ended.

    A question takes its place when its body has arrived: who sends slowly takes nobody's place. A caller without a
    valid key, and a question that finds no place, are refused before their body is read.
    """

    def __init__(
        self,
        app: ASGIApp,
        admission: Admission,
        identify: Callable[[Scope, str], Awaitable[Caller]],
        limits: RequestLimits | None = None,
    ) -> None:
        """`identify` takes the operation too, and raises UnauthorizedError.

        `limits` None: tenants and keys have none.
        """
        self.app, self.admission, self.identify = app, admission, identify
        self.limits = limits or RequestLimits(LimitsConfig, MemoryCounters())
        self.bodies = BodyReader()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = _limited_route(scope)
        if route is None:
            await self.app(scope, receive, send)
            return
        is_admitted, scope.setdefault("state", {})["is_question"] = False, True
        try:
            caller = await self.identify(scope, f"POST {route.path}")
            standing = await self.limits.count(caller)
            if standing is not None:
                send = _with_headers(send, rate_headers(standing.limit, standing.remaining, standing.reset_s))
            self.admission.check(caller.tenant)
            receive = await self.bodies.read(receive)
            with self.limits.holding(caller):
                async with self.admission.admit(caller.tenant):
                    is_admitted = True
                    await self.app(scope, receive, send)
        except ClientDisconnectedError:
            scope["route"] = route
        except RagError as error:
            if is_admitted:  # of the application, which answers its own errors
                raise
            scope["route"] = route
            if isinstance(error, OverloadedError):
                await self.admission.hold_back(scope["state"].get("tenant", ""))
            await refusal(error, scope["path"])(scope, receive, send)


def _with_headers(send: Send, headers: dict[str, str]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return send_with_headers


def _limited_route(scope: Scope) -> LimitedRoute | None:
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    return next((route for route in LIMITED_ROUTES if route.pattern.match(scope["path"])), None)


class RelativeRedirects:
    """Redirects to a path alone. The framework, which adds or removes a last slash, names the host of the request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_relative(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 307:
                headers = MutableHeaders(raw=message["headers"])
                location = urlsplit(headers["location"])
                headers["location"] = urlunsplit(("", "", "/" + location.path.lstrip("/"), location.query, ""))
            await send(message)

        await self.app(scope, receive, send_relative)


class JsonByDefault:
    """Reads a body without a content type, or with the form type of curl's `-d`, as JSON: no route takes such forms."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("POST", "PUT", "PATCH"):
            headers = MutableHeaders(scope=scope)
            if headers.get("content-type", "").split(";")[0].strip() in ("", "application/x-www-form-urlencoded"):
                headers["content-type"] = "application/json"
        await self.app(scope, receive, send)
