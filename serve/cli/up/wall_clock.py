"""Notices a wall clock that was set back: Ray Serve's controller looks at no replica until the old time is reached."""

import time
from collections.abc import Callable

TOLERANCE_S = 5.0  # Serve's periods are of seconds; a clock that follows a time server moves by less

Clock = Callable[[], float]


class WallClock:
    """Compared with the monotonic clock at each look."""

    def __init__(self, wall: Clock = time.time, monotonic: Clock = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._ahead_s = wall() - monotonic()

    def went_back(self) -> bool:
        """Whether it was set back since the last look."""
        before_s, self._ahead_s = self._ahead_s, self._wall() - self._monotonic()
        return before_s - self._ahead_s > TOLERANCE_S
