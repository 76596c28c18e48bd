"""Reads a stream at intervals, and merges what waits: a message carries more tokens, so there are fewer messages."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from models.generation.followed_call import FollowedCall
from models.types.generation import GenerationDelta

if TYPE_CHECKING:
    from vllm.outputs import RequestOutput


async def gather(
    outputs: "AsyncGenerator[RequestOutput, None]", gather_s: float, call: FollowedCall
) -> "AsyncGenerator[RequestOutput, None]":
    """The engine's outputs: the first at once, each further one at least `gather_s` seconds after the previous one.

    Only for outputs of kind DELTA. vLLM merges those that wait: no token is lost, and a message carries more of them.
    """
    has_begun = False
    async with aclosing(outputs):
        async for output in outputs:
            if not has_begun:
                has_begun = True
                call.note_begun(output)
            yield output
            if gather_s and not output.finished:
                await asyncio.sleep(gather_s)


MAX_WAITING = 1024  # deltas; the server's stream waits beyond


async def gather_deltas(
    deltas: AsyncGenerator[GenerationDelta, None], gather_s: float
) -> AsyncGenerator[GenerationDelta, None]:
    """The deltas of a server that merges nothing: the first at once, then in one what came within `gather_s`.

    Text that came before a failure is passed on before it is raised. Closing it closes `deltas`.
    """
    waiting: asyncio.Queue[GenerationDelta] = asyncio.Queue(MAX_WAITING)

    async def read() -> None:
        async with aclosing(deltas):
            async for delta in deltas:
                await waiting.put(delta)

    reader = asyncio.create_task(read())
    try:
        while (delta := await _next(waiting, reader)) is not None:
            while not waiting.empty():
                following = waiting.get_nowait()
                delta = replace(following, text=delta.text + following.text, calls=delta.calls + following.calls)
            yield delta
            if delta.finish_reason is None:
                await asyncio.sleep(gather_s)
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


async def _next(waiting: asyncio.Queue[GenerationDelta], reader: asyncio.Task[None]) -> GenerationDelta | None:
    """The next delta; None at the end. Raises what ended the reader, once nothing waits."""
    getter = asyncio.ensure_future(waiting.get())
    try:
        await asyncio.wait({getter, reader}, return_when=asyncio.FIRST_COMPLETED)
        if getter.done():
            return getter.result()
        if not waiting.empty():
            return waiting.get_nowait()
        reader.result()
        return None
    finally:
        getter.cancel()
