"""A breaker: after failures in a row the calls stop for a while, so that a dead server costs no time."""

import time
from collections.abc import Callable

MAX_FAILURES = 3
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0


class Breaker:
    """Closed: calls may go. Open: none goes until the pause is over; then one call tries, and decides.

    Each failed try doubles the pause. Belongs to one event loop.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._num_failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._open_until = 0.0

    def allows(self) -> bool:
        """Whether a call may go now. While the breaker is open, True is one try, and the next pause begins."""
        if self._num_failures < MAX_FAILURES:
            return True
        if self._clock() < self._open_until:
            return False
        self._open_until = self._clock() + self._pause_s
        return True

    def succeeded(self) -> None:
        self._num_failures, self._pause_s = 0, FIRST_PAUSE_S

    def failed(self) -> None:
        self._num_failures += 1
        if self._num_failures == MAX_FAILURES:
            self._open_until = self._clock() + self._pause_s
        elif self._num_failures > MAX_FAILURES:
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            self._open_until = self._clock() + self._pause_s
