"""Reads an engine's stream at intervals: the engine merges waiting tokens, which saves messages."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm.outputs import RequestOutput


async def gather(
    outputs: "AsyncGenerator[RequestOutput, None]", gather_s: float
) -> "AsyncGenerator[RequestOutput, None]":
    """The engine's outputs: the first at once, each further one at least `gather_s` seconds after the previous one.

    Only for outputs of kind DELTA. vLLM merges those that wait: no token is lost, and a message carries more of them.
    """
    async with aclosing(outputs):
        async for output in outputs:
            yield output
            if gather_s and not output.finished:
                await asyncio.sleep(gather_s)
