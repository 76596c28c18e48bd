"""What is still starting, and for how long, while a user waits for `ragserve up`."""

import time
from collections.abc import Collection

from rich.console import Console
from rich.status import Status


class StartProgress:
    """Prints each stage once it is ready. On a terminal, a status line names the stages that are still starting."""

    def __init__(self, console: Console, status: Status) -> None:
        self._console, self._status = console, status
        self._start = time.monotonic()
        self._pending: list[str] = []

    def report(self, pending: Collection[str]) -> None:
        """`pending`: the stages that are not ready yet."""
        elapsed_s = time.monotonic() - self._start
        for name in self._pending:
            if name not in pending:
                self._console.print(f"{name} is ready ({elapsed_s:.0f} s)", markup=False)
        self._pending = list(pending)
        step = f"waiting for {', '.join(pending)}" if pending else "starting the HTTP proxy"
        self._status.update(f"{step} ({elapsed_s:.0f} s)")
