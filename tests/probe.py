"""A deployment for tests of the handles. In a module of its own: replicas import it by name."""

import asyncio
from collections.abc import AsyncIterator

from deployments.calls.envelope import Envelope
from models.errors.base import RagError
from models.errors.requests import InvalidRequestError


class Probe:
    """A replica that can be slow, wrong and broken, and remembers what was cancelled."""

    def __init__(self) -> None:
        self.begun = self.cancelled = 0  # waits
        self.messages: list[list[float]] = []

    async def wait(self, seconds: float) -> float:
        self.begun += 1
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return seconds

    async def wait_all(self, seconds: list[float], envelopes: list[Envelope]) -> list[float | RagError]:
        """A message of calls: a negative wait is refused alone."""
        self.messages.append(seconds)
        await self.wait(max(seconds))
        return [InvalidRequestError("negative", "seconds") if one < 0 else one for one in seconds]

    async def envelopes_of(self, items: list[int], envelopes: list[Envelope]) -> list[Envelope]:
        """What came beside each item of a message."""
        self.messages.append([float(item) for item in items])
        return envelopes

    async def message_sizes(self) -> list[int]:
        return [len(message) for message in self.messages]

    async def refuse(self) -> None:
        raise InvalidRequestError("the text is empty", "text")

    async def break_down(self) -> float:
        return 1 / 0

    async def count(self, end: int) -> AsyncIterator[int]:
        try:
            for number in range(end):
                yield number
                await asyncio.sleep(0.01)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise

    async def refuse_in_stream(self) -> AsyncIterator[int]:
        yield 1
        raise InvalidRequestError("no more", "stream")

    async def num_begun(self) -> int:
        return self.begun

    async def num_cancelled(self) -> int:
        return self.cancelled
