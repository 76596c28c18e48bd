"""Keeps web pages of other origins out. A browser sends their requests from its user's machine and network.

A page may send simple requests anywhere, and read the answers of its own host, which DNS rebinding makes resolve to
this service. Browsers name the page in Origin and Sec-Fetch-Site, which no script can set. Programs send neither.
Source: https://fetch.spec.whatwg.org/#origin-header, https://www.w3.org/TR/fetch-metadata/
"""

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from models.errors.access import ForbiddenError
from serve.api.errors import refusal
from serve.settings import ApiLimits

READING = frozenset({"GET", "HEAD", "OPTIONS"})  # without CORS headers no other page can read their answers
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})  # their callers use an address as host
ANY_ORIGIN = "*"
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
MAX_SHOWN_CHARS = 200


class OriginLimit:
    """Refuses a host that is not allowed, and a request that a page of another origin sends to change something."""

    def __init__(self, app: ASGIApp, limits: Callable[[], ApiLimits]) -> None:
        """`limits` returns the present ones."""
        self.app, self.limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers, limits = Headers(scope=scope), self.limits()
            try:
                if scope["path"] not in PROBES:
                    check_host(headers.get("host"), limits.allowed_hosts)
                if scope["method"] not in READING:
                    check_origin(headers, limits.allowed_origins)
            except ForbiddenError as error:
                await refusal(error, scope["path"])(scope, receive, send)
                return
        await self.app(scope, receive, send)


def check_host(host: str | None, allowed: Sequence[str]) -> None:
    """Raises ForbiddenError. Without `allowed` every host is; a request without a host is no browser's."""
    if allowed and host and _hostname(host) not in allowed:
        message = f"the host {host[:MAX_SHOWN_CHARS]!r} is not allowed; add its name to api.allowed_hosts"
        raise ForbiddenError(message)


def check_origin(headers: Headers, allowed: Sequence[str]) -> None:
    """Raises ForbiddenError for a page of another origin than this service and `allowed`."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if ANY_ORIGIN in allowed or origin in allowed or site == "same-origin":
        return
    if origin is None and site != "cross-site":
        return
    if origin is not None and site is None and _is_of_host(origin, headers.get("host", "")):
        return
    shown = "another site" if origin is None else repr(origin[:MAX_SHOWN_CHARS])
    raise ForbiddenError(f"a web page of {shown} may not do this; add its origin to api.allowed_origins")


def _is_of_host(origin: str, host: str) -> bool:
    """Whether the page came from this host and port. A proxy that ends TLS leaves no scheme to compare."""
    scheme, _, authority = origin.lower().partition("://")
    port = DEFAULT_PORTS.get(scheme)
    return port is not None and authority.removesuffix(port) == host.lower().removesuffix(port)


def _hostname(host: str) -> str | None:
    """Without its port, in lower case; None for one that is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:  # such as [
        return None
