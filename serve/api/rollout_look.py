"""What Ray Serve says of its deployments, for probes: at most one question to its controller at a time."""

import asyncio
import time
from collections.abc import Callable, Mapping

Look = Callable[[], Mapping[str, str]]  # blocks


class RolloutLook:
    """While the controller hangs, each question would keep a thread, and answers need threads too.

    Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._look: asyncio.Task[Mapping[str, str]] | None = None
        self._until = 0.0

    async def report(self, look: Look, wait_s: float) -> dict[str, str] | None:
        """None if there is no answer within `wait_s` after the question, which may be one that others wait for."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(asyncio.to_thread(look))
            self._until = time.monotonic() + wait_s
        current = self._look
        await asyncio.wait({current}, timeout=max(0.0, self._until - time.monotonic()))
        return dict(current.result()) if current.done() else None
