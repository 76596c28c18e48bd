"""Progress of the start and of roll-outs: what is ready, what still starts or loads, and what failed."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.status import Status

from deployments.cluster.rollout import rollout
from serve.cli.remote import RemoteError, RemoteService

LOOK_TIMEOUT_S = 5.0
UPDATING = "updating"  # begins the reason of what is under way, as Serve calls it


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


@dataclass(frozen=True)
class Look:
    """At a service whose file changed. `changing` does not follow the file yet, and `failed` does not load: a reason
    for each, by deployment or stage.
    """

    changing: Mapping[str, str]
    failed: Mapping[str, str]


def look_at(url: str) -> Look:
    """Of Ray Serve: the deployments that it changes or cannot keep. Of /readyz: models that load, or do not."""
    deployments = rollout()
    try:
        with RemoteService(url, LOOK_TIMEOUT_S) as service:
            stages = service.readiness()["stages"]
    except RemoteError:
        return Look({"Ingress": f"{UPDATING}: it does not answer", **deployments}, {})
    loading = {name: f"{UPDATING}: {stage['loading']}" for name, stage in stages.items() if stage["loading"]}
    return Look({**loading, **deployments}, {name: stage["error"] for name, stage in stages.items() if stage["error"]})


class RolloutProgress:
    """Prints when every replica follows the file, what Serve cannot keep, and the models that do not load."""

    SETTLE_S = 2.0  # Serve has read the file by then

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began: float | None = None
        self._failed: set[str] = set()

    def begin(self) -> None:
        self._began, self._failed = time.monotonic(), set()

    def report(self, look: Callable[[], Look]) -> None:
        """Look, if a roll-out is under way."""
        if self._began is None or time.monotonic() - self._began < self.SETTLE_S:
            return
        current = look()
        unkept = {name: why for name, why in current.changing.items() if not why.startswith(UPDATING)}
        for name, reason in {**unkept, **current.failed}.items():
            if name not in self._failed:
                self._failed.add(name)
                self._console.print(f"{name}: {reason}", markup=False, style="red")
        if not current.changing:
            self._console.print(f"rolled out after {time.monotonic() - self._began:.0f} s", markup=False)
            self._began = None
