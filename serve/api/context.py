"""The RequestContext of an HTTP request: its id, the caller's tenant, and the caller's trace."""

import re
from typing import Annotated

from fastapi import Depends, Request

from models.types import Deadline, RequestContext

# Version, trace id, parent id, flags; an id of zeros and version ff are invalid: https://www.w3.org/TR/trace-context/
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


async def _context(request: Request) -> RequestContext:
    """The context without a deadline; each route sets its own. Fails on a route that is not a TenantRoute."""
    state, traceparent = request.state, request.headers.get("traceparent", "")
    trace_context = traceparent if TRACEPARENT.fullmatch(traceparent) else ""
    return RequestContext(state.request_id, state.tenant, Deadline.never(), trace_context=trace_context)


ContextDep = Annotated[RequestContext, Depends(_context)]
