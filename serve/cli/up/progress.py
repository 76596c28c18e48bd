"""Progress of the start: the stages that are ready, those that are still starting, and failed attempts."""

import time
from collections.abc import Callable, Mapping

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


class RolloutProgress:
    """Prints when every replica follows the file, and each deployment that Serve cannot keep."""

    SETTLE_S = 2.0  # Serve has read the file by then

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began: float | None = None
        self._failed: set[str] = set()

    def begin(self) -> None:
        self._began, self._failed = time.monotonic(), set()

    def report(self, rollout: Callable[[], Mapping[str, str]]) -> None:
        """`rollout` returns the deployments that are not as configured, with a reason."""
        if self._began is None or time.monotonic() - self._began < self.SETTLE_S:
            return
        pending = rollout()
        for name, reason in pending.items():
            if not reason.startswith("updating") and name not in self._failed:
                self._failed.add(name)
                self._console.print(f"{name}: {reason}", markup=False, style="red")
        if not pending:
            self._console.print(f"rolled out after {time.monotonic() - self._began:.0f} s", markup=False)
            self._began = None
