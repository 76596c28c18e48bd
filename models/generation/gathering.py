"""A stream read at a measured pace: an engine adds up the tokens that wait, and every message has its price."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm.outputs import RequestOutput


async def gathered(
    outputs: "AsyncGenerator[RequestOutput, None]", gather_s: float
) -> "AsyncGenerator[RequestOutput, None]":
    """The engine's outputs: the first at once, every further one `gather_s` seconds after the last or later.

    For outputs of the kind DELTA, which vLLM merges while they wait: none is lost, and a message carries more tokens.
    """
    async with aclosing(outputs):
        async for output in outputs:
            yield output
            if gather_s and not output.finished:
                await asyncio.sleep(gather_s)
