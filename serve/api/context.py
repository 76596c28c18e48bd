"""The RequestContext of an HTTP request: its id, its tenant, its trace, and whether caches may answer it."""

import math
import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request

from models.deadline import Deadline
from models.errors.requests import InvalidRequestError
from models.types.request_context import RequestContext

TIMEOUT_HEADER = "x-request-timeout"
SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9}")
MIN_TIMEOUT_S, MAX_TIMEOUT_S = 0.01, 3600.0
# Directives of Cache-Control, RFC 9111. We treat both alike: the answer is computed, and not stored.
UNCACHED = {"no-cache", "no-store"}


async def _context(request: Request) -> RequestContext:
    """The context with the client's deadline, if it sent one; each route sets its own, of which the earlier one counts.

    Fails on a route that is not a TenantRoute.
    """
    state, timeout_s = request.state, timeout_of(request.headers.getlist(TIMEOUT_HEADER))
    return RequestContext(
        state.request_id,
        state.tenant,
        Deadline.never() if timeout_s is None else Deadline.after(timeout_s),
        trace_context=state.trace_context,
        use_caches=UNCACHED.isdisjoint(_directives(request.headers.get("cache-control", ""))),
        is_hurried=timeout_s is not None,
    )


def timeout_of(headers: Sequence[str]) -> float | None:
    """The seconds in a client's `x-request-timeout`. Raises InvalidRequestError, also for two that differ."""
    if not headers:
        return None
    if len(set(headers)) > 1:
        raise InvalidRequestError(f"{TIMEOUT_HEADER} was sent with {len(headers)} values; send one", TIMEOUT_HEADER)
    header = headers[0]
    # Python's own float takes more, such as 1_000.
    timeout_s = float(header) if SECONDS.fullmatch(header) else math.nan
    if not MIN_TIMEOUT_S <= timeout_s <= MAX_TIMEOUT_S:
        message = f"{TIMEOUT_HEADER} must be a number of seconds from {MIN_TIMEOUT_S:g} to {MAX_TIMEOUT_S:g}"
        raise InvalidRequestError(message, TIMEOUT_HEADER)
    return timeout_s


def _directives(cache_control: str) -> set[str]:
    return {directive.strip().lower() for directive in cache_control.split(",")}


ContextDep = Annotated[RequestContext, Depends(_context)]
