"""Progress of the start: the stages that are ready, those that are still starting, and failed attempts."""

import time
from collections.abc import Mapping

from rich.console import Console
from rich.status import Status


class StartProgress:
    """Prints each stage once it is ready, and each failed attempt. A status line names the stages still starting."""

    def __init__(self, console: Console, status: Status) -> None:
        self._console, self._status = console, status
        self._start = time.monotonic()
        self._pending: dict[str, str] = {}

    def report(self, pending: Mapping[str, str]) -> None:
        """`pending`: stages that are not ready, each with the error of its last attempt, or ""."""
        elapsed_s = time.monotonic() - self._start
        for name in (name for name in self._pending if name not in pending):
            self._console.print(f"{name} is ready ({elapsed_s:.0f} s)", markup=False)
        for name, error in pending.items():
            if error and error != self._pending.get(name):
                self._console.print(f"{name} did not start, trying again: {error}", markup=False, style="red")
        self._pending = dict(pending)
        step = f"waiting for {', '.join(pending)}" if pending else "starting the HTTP proxy"
        self._status.update(f"{step} ({elapsed_s:.0f} s)")
