"""Stop the work of a request whose client disconnects before the response begins. A running stream stops by itself."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request

T = TypeVar("T")


class ClientDisconnectedError(Exception):
    """The client closed the connection before its response."""


async def cancel_on_disconnect(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. If the client disconnects first, cancel `work` and raise ClientDisconnectedError.

    Read the request's body before this call: the next message received must be the disconnect.
    """
    task, disconnect = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0)  # a disconnect that has arrived as well is read before the result is used
        if disconnect.done():
            raise ClientDisconnectedError
        return task.result()
    finally:
        for pending in (task, disconnect):
            pending.cancel()
        await asyncio.gather(task, disconnect, return_exceptions=True)


async def start_stream(request: Request, events: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Wait for the first event, then return all of them. A failure before it becomes an HTTP error, not an event."""

    async def first() -> T:
        return await anext(events)

    return _joined(await cancel_on_disconnect(request, first()), events)


async def _joined(first: T, events: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    async with aclosing(events):
        yield first
        async for event in events:
            yield event


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
