"""A caller who hangs up stops the work: a stream that runs does it by itself, whatever comes before through this."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request

T = TypeVar("T")


class ClientDisconnectedError(Exception):
    """Nobody is there to read the response."""


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; if the caller goes first, `work` is cancelled and ClientDisconnectedError raised.

    The request's body must have been read before: what remains to be received is the disconnect.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnectedError
    finally:
        for pending in (task, gone):
            pending.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def begun(request: Request, events: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """`events`, the first of which has been awaited: what fails before it is an HTTP error, not part of a stream."""

    async def first() -> T:
        return await anext(events)

    return _joined(await unless_disconnected(request, first()), events)


async def _joined(first: T, events: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    async with aclosing(events):
        yield first
        async for event in events:
            yield event


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
