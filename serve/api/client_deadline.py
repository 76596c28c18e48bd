"""The client's deadline for what has none of its own, such as a read of the database in the middle of a question."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import Request, Response

from models.errors.stages import DeadlineExceededError
from serve.api.context import TIMEOUT_HEADER, timeout_of

STAGE = "ingress"
LATE_S = 1.0  # stages end at the deadline, and what is degraded without them is sent a moment later


async def in_time(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """The response, or that of a stream which has begun. Raises DeadlineExceededError LATE_S after the deadline."""
    timeout_s = timeout_of(request.headers.getlist(TIMEOUT_HEADER))
    if timeout_s is None:
        return await answer(request)
    try:
        async with asyncio.timeout(timeout_s + LATE_S) as limit:
            return await answer(request)
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceededError(STAGE, timeout_s) from None
