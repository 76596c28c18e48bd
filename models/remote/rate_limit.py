"""At most so many requests a minute, for callers in any thread."""

import threading
import time
from collections.abc import Callable

from models.errors.limits import OverloadedError

BURST_S = 5.0  # requests of this time may come at once
PERIOD_S = 60.0


class RateLimit:
    """Spreads requests evenly, after a burst. Source: the generic cell rate algorithm, ITU-T I.371."""

    def __init__(self, stage: str, per_minute: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_minute` None: no limit."""
        self._stage, self._clock = stage, clock
        self._interval_s = PERIOD_S / per_minute if per_minute else 0.0
        self._next_at = clock() - BURST_S
        self._lock = threading.Lock()

    def reserve(self, max_wait_s: float) -> float:
        """Take the next place; returns the seconds to wait for it. Raises OverloadedError beyond `max_wait_s`."""
        if not self._interval_s:
            return 0.0
        with self._lock:
            now = self._clock()
            place = max(self._next_at, now - BURST_S)
            wait_s = max(0.0, place - now)
            if wait_s > max_wait_s:
                raise OverloadedError(self._stage, wait_s)
            self._next_at = place + self._interval_s
            return wait_s

    def wait(self, max_wait_s: float) -> None:
        """Sleep until the place that `reserve` takes. Blocks."""
        if wait_s := self.reserve(max_wait_s):
            time.sleep(wait_s)
