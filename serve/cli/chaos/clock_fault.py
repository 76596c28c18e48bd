"""A wall clock that jumps, and jumps back.

The service runs with loadtests/jumping_clock.c, which adds the number in a file to the time that Python reads. Setting
the clock itself would change it for the whole machine.
"""

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serve.cli.chaos.fault import LASTS_S

DAY_S = 86_400.0


@dataclass(frozen=True)
class ClockJump:
    """The clock is `ahead_s` seconds ahead for a while; behind if that is negative."""

    file: Path
    ahead_s: float
    lasts_s: float = LASTS_S

    @property
    def name(self) -> str:
        return f"a clock that jumps by {self.ahead_s / DAY_S:+g} day, and back after {self.lasts_s:g} s"

    @contextmanager
    def inject(self) -> Iterator[None]:
        self._set(self.ahead_s)
        try:
            time.sleep(self.lasts_s)
        finally:
            self._set(0.0)
        yield

    def _set(self, ahead_s: float) -> None:
        """In place: the service has the file mapped into its memory."""
        with self.file.open("r+b") as file:
            file.write(struct.pack("d", ahead_s))
