"""The pause of a background loop, which an event can cut short."""

import asyncio
import contextlib

LONGEST_WAIT_S = 3600.0  # of a loop that waits for the event alone


class Wakeup:
    """Belongs to one loop, which waits for it; anyone in the same event loop may set it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Ends the present pause, or the next one if none is under way."""
        self._event.set()

    async def wait(self, timeout_s: float) -> None:
        """Returns when set, or after the timeout."""
        # Not asyncio.wait_for: in Python 3.11 it loses a cancellation that comes right after the event, and then
        # the loop cannot be stopped (bpo-42130).
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        self._event.clear()
