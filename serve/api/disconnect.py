"""A caller who hangs up stops the work: streams do it by themselves, plain responses through this."""

import asyncio
from collections.abc import Coroutine
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


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
