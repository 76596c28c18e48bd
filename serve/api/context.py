"""The RequestContext of an HTTP request: its id, its tenant, its trace, and whether caches may answer it."""

from typing import Annotated

from fastapi import Depends, Request

from models.deadline import Deadline
from models.types import RequestContext

# Directives of Cache-Control, RFC 9111. We treat both alike: the answer is computed, and not stored.
UNCACHED = {"no-cache", "no-store"}


async def _context(request: Request) -> RequestContext:
    """The context without a deadline; each route sets its own. Fails on a route that is not a TenantRoute."""
    state = request.state
    return RequestContext(
        state.request_id,
        state.tenant,
        Deadline.never(),
        trace_context=state.trace_context,
        use_caches=UNCACHED.isdisjoint(_directives(request.headers.get("cache-control", ""))),
    )


def _directives(cache_control: str) -> set[str]:
    return {directive.strip().lower() for directive in cache_control.split(",")}


ContextDep = Annotated[RequestContext, Depends(_context)]
