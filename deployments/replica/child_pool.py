"""Child processes for calls side by side: a slow call holds up no other one."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from deployments.replica.child_process import ChildLimits, ChildProcess, ChildStartError

SLOW_S = 5.0  # from then on a call does not count among the calls at once
MAX_GROWTH = 2  # children at most, as a multiple of the calls at once


def _ignore() -> None:
    """Nobody measures the wait."""


@dataclass(eq=False)
class WaitingCall:
    """A call that waits for a child, and whose it is."""

    tenant: str
    child: asyncio.Future[ChildProcess]


@dataclass(eq=False)
class RunningCall:
    """A call in its child. `is_slow` after SLOW_S."""

    tenant: str
    slow_timer: asyncio.TimerHandle
    is_slow: bool = False


class ChildPool:
    """Runs up to `num_at_once` calls at once, each in a child process with limits (ChildProcess).

    A call that takes longer than SLOW_S makes room for another one, in a further child, until MAX_GROWTH times as many
    run. So it takes many slow calls to stop the quick ones. Of the waiting calls, the one goes next whose tenant has
    the fewest in work, and among equals the oldest. Belongs to one event loop.
    """

    def __init__(
        self, num_at_once: int, limits: ChildLimits, make: Callable[..., Callable[..., Any]], *arguments: Any
    ) -> None:
        self._num_at_once = num_at_once
        self._new_child = partial(ChildProcess, limits, make, *arguments)
        self._idle: list[ChildProcess] = []
        self._waiting: list[WaitingCall] = []
        self._running: dict[ChildProcess, RunningCall] = {}
        self._is_closed = False
        self.start_problem = ""  # why the last process did not start; "" if it did

    @property
    def has_room(self) -> bool:
        """Whether a call would start at once."""
        num_quick = sum(not call.is_slow for call in self._running.values())
        return num_quick < self._num_at_once and len(self._running) < MAX_GROWTH * self._num_at_once

    async def call(
        self, tenant: str, *arguments: Any, limit_s: float | None = None, begin: Callable[[], None] = _ignore
    ) -> Any:
        """The function's result. Raises what it raises, ChildFailedError or ChildStartError. Cancelling ends the child.

        Calls `begin` when a child has started; raises TimeoutError after `limit_s` from then on.
        """
        waiting = WaitingCall(tenant, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._start_next()
        try:
            child = await waiting.child
            await self._start(child)
            begin()
            async with asyncio.timeout(limit_s):
                return await child.call(*arguments)
        finally:
            if waiting.child.done() and not waiting.child.cancelled():
                await self._release(waiting.child.result())

    async def close(self) -> None:
        """End the idle children now, and the others with their calls. Waiting calls are still made."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for child in idle:
            await child.close()
        for child in list(self._running):
            await child.close()  # once its call has ended

    async def _start(self, child: ChildProcess) -> None:
        try:
            await child.start()
        except ChildStartError as error:
            self.start_problem = str(error)
            raise
        self.start_problem = ""

    def _start_next(self) -> None:
        self._waiting = [call for call in self._waiting if not call.child.done()]
        while self._waiting and self.has_room:
            in_work = Counter(call.tenant for call in self._running.values())
            chosen = min(self._waiting, key=lambda call: in_work[call.tenant])
            self._waiting.remove(chosen)
            child = self._idle.pop() if self._idle else self._new_child()
            timer = asyncio.get_running_loop().call_later(SLOW_S, self._is_slow, child)
            self._running[child] = RunningCall(chosen.tenant, timer)
            chosen.child.set_result(child)

    def _is_slow(self, child: ChildProcess) -> None:
        self._running[child].is_slow = True
        self._start_next()

    async def _release(self, child: ChildProcess) -> None:
        self._running.pop(child).slow_timer.cancel()
        self._idle.append(child)
        self._start_next()
        num_kept = 0 if self._is_closed else max(0, self._num_at_once - len(self._running))
        surplus, self._idle = self._idle[num_kept:], self._idle[:num_kept]
        for idle in surplus:
            await idle.close()
