"""The calls of questions that wait for a stage, and for how long it has said nothing meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from models.errors.base import RagError

TICK_S = 0.5
Repeat = Callable[[float], Awaitable[object]]  # sends a call again, within so many seconds
SecondCall = Callable[[], Coroutine[Any, Any, Any]]  # sends it again, within the time that is left


class WaitingCall:
    """A call without an answer, in the task that waits for it. It had `budget_s`; `repeat` sends it again.

    `second` does so beside the first, whose task gets the answer that comes first. None: the call has no second.
    """

    __slots__ = (
        "_error",
        "_is_overtaken",
        "_num_cancelled",
        "_running",
        "_second",
        "_second_at",
        "_task",
        "began_at",
        "budget_s",
        "is_answered",
        "is_stream",
        "repeat",
        "tick",
    )

    def __init__(
        self,
        budget_s: float,
        began_at: float,
        repeat: Repeat,
        is_stream: bool = False,
        second: SecondCall | None = None,
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._num_cancelled = task, task.cancelling()
        self._error: RagError | None = None
        self.budget_s, self.began_at, self.repeat, self.is_stream = budget_s, began_at, repeat, is_stream
        self.is_answered, self.tick = False, 0
        self._second, self._second_at, self._is_overtaken = second, began_at, False
        self._running: asyncio.Task[Any] | None = None

    def release(self, error: RagError) -> None:
        """Cancel the task. Whoever awaits the call raises `error` then: see `released`."""
        if self._error is None and not self.is_answered:
            self._error = error
            self._task.cancel()

    def released(self) -> RagError | None:
        """The error to raise in place of a CancelledError; None if the caller left, too. As asyncio.timeout does."""
        if self._error is None or self._task.uncancel() > self._num_cancelled:
            return None
        return self._error

    def send_second(self, at: float) -> None:
        """Once. `at` is the time, as that of `began_at`.

        Its answer cancels the task: see `overtaken`. An error says nothing: the first goes on.
        """
        if self._second is not None:
            second, self._second, self._second_at = self._second, None, at
            self._running = asyncio.get_running_loop().create_task(second())
            self._running.add_done_callback(self._overtake)

    def _overtake(self, second: asyncio.Task[Any]) -> None:
        is_answer = not second.cancelled() and second.exception() is None
        if is_answer and self._error is None and not self.is_answered:
            self._is_overtaken = True
            self._task.cancel()

    def overtaken(self) -> asyncio.Task[Any] | None:
        """The second call whose answer replaces a CancelledError; None if the caller left, too.

        It began then, for all who look at how long answers take.
        """
        if not self._is_overtaken or self._task.uncancel() > self._num_cancelled:
            return None
        self.began_at = self._second_at
        return self._running

    def end(self) -> None:
        """Nobody waits for it any more."""
        self.is_answered = True
        if self._running is not None:
            self._running.cancel()


class WaitingCalls:
    """Counts time in ticks, while calls wait: a process that gets no core for seconds has not listened either."""

    def __init__(self) -> None:
        self._calls: set[WaitingCall] = set()
        self._num_ticks = self._num_silent = 0

    def __bool__(self) -> bool:
        return bool(self._calls)

    @property
    def are_streams(self) -> bool:
        return all(call.is_stream for call in self._calls)

    @property
    def silent_s(self) -> float:
        """Seconds for which calls have waited and nothing came."""
        return self._num_silent * TICK_S

    def add(self, call: WaitingCall) -> None:
        call.tick = self._num_ticks
        self._calls.add(call)

    def discard(self, call: WaitingCall) -> None:
        self._calls.discard(call)

    def tick(self, has_heard: bool) -> None:
        """Once in TICK_S. `has_heard`: the stage has said something since the last tick."""
        self._num_ticks += 1
        self._num_silent = 0 if has_heard or not self._calls else self._num_silent + 1

    def older_than(self, limit_s: float) -> list[WaitingCall]:
        """Those that have waited so long, streams apart: their first text may take its time."""
        tick = self._num_ticks - limit_s / TICK_S
        return [call for call in self._calls if call.tick < tick and not call.is_stream]

    def all(self) -> list[WaitingCall]:
        return list(self._calls)
