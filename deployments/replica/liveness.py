"""Serve's probe of a replica: healthy while its work moves on, however long its queue or loaded its machine."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from models.errors.stages import StageUnavailableError

# Older work is stuck. A full pass of MiniLM (2,048 tokens in float32) takes 0.55 s of a core, and 3 s beside ten busy
# processes a core.
STUCK_S = 120.0
RECENT_S = 30.0  # after work that succeeded, no probe is needed for this time: three of Serve's periods
ANSWER_S = 5.0  # Serve hears of a slow probe after this time; its work goes on


class Liveness:
    """Finds a stuck device or a broken model, without a place in the model's queue.

    A replica is healthy if some work succeeded a moment ago, or if none of the work under way is older than `stuck_s`.
    Only an idle replica is probed, by a small piece of its own work. A slow probe is work under way like any other:
    it fails the replica when it is stuck or raises, not when it is late.
    """

    def __init__(self, stage: str, stuck_s: float = STUCK_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._stage = stage
        self._stuck_s = stuck_s
        self._clock = clock
        self._numbers = itertools.count()
        self._running: dict[int, float] = {}  # the start of each piece of work
        self._succeeded_at = -RECENT_S
        self._probe: asyncio.Future[Any] | None = None

    @contextmanager
    def working(self) -> Iterator[None]:
        """Time a piece of work, in any thread. It succeeds unless the block raises."""
        number = next(self._numbers)
        self._running[number] = self._clock()
        try:
            yield
            self._succeeded_at = self._clock()
        finally:
            del self._running[number]

    @property
    def num_running(self) -> int:
        return len(self._running)

    def oldest_s(self) -> float:
        """Age of the oldest work under way, in seconds; 0 if there is none."""
        now = self._clock()
        return now - min(list(self._running.values()), default=now)

    def stalled_s(self) -> float:
        """Time since work under way last succeeded, or since the oldest began if that is later; 0 if there is none."""
        return min(self.oldest_s(), self._clock() - self._succeeded_at)

    async def check(self, probe: Callable[[], Awaitable[Any]]) -> None:
        """Raises StageUnavailableError for stuck work, and what the probe raises. Returns within ANSWER_S."""
        if self._is_stuck():
            raise StageUnavailableError(self._stage)
        if self._probe is None:
            if self._is_moving():
                return
            self._probe = asyncio.ensure_future(self._run(probe))
        under_way = self._probe
        await asyncio.wait({under_way}, timeout=0 if self._is_moving() else ANSWER_S)
        if under_way.done():
            self._probe = None
            under_way.result()

    async def _run(self, probe: Callable[[], Awaitable[Any]]) -> None:
        with self.working():
            await probe()

    def _is_stuck(self) -> bool:
        """Whether the oldest work under way is too old."""
        return self.oldest_s() > self._stuck_s

    def _is_moving(self) -> bool:
        """Whether work succeeded a moment ago. Work under way is not stuck, or `check` has raised already."""
        return bool(self._running) or self._clock() - self._succeeded_at < RECENT_S
