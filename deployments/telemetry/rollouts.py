"""Counts roll-outs of deployments, by what Ray Serve says of them every few seconds.

Every ingress watches. A file for each roll-out under way, in the metrics' folder, lets one of them count its start and
its end, and lets another go on when the one that began is replaced itself.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from deployments.telemetry.metrics.rollouts import DEPLOYMENT_STATE, ROLLOUT_SECONDS, ROLLOUTS

LOOK_S = 5.0
UPDATING = "updating"
FAILED = ("unhealthy", "deploy_failed")
States = Callable[[], Mapping[str, str]]


class RolloutWatch:
    """Background work of an ingress. A roll-out between two looks is not seen."""

    def __init__(self, states: States, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """`states` returns Serve's state of each deployment, in lower case, and blocks. `clock` gives Unix seconds."""
        self._states, self._folder, self._clock = states, folder, clock
        self._shown: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Count what has begun or ended since the last look of any ingress of the node."""
        states = self._states()
        for deployment, state in states.items():
            if state == UPDATING:
                self._begin(deployment)
            else:
                self._end(deployment, "failed" if state in FAILED else "finished")
        self._show(states)

    def _begin(self, deployment: str) -> None:
        try:
            with self._file(deployment).open("x") as file:
                file.write(str(self._clock()))
        except FileExistsError:  # under way
            return
        ROLLOUTS.labels(deployment, "started").inc()

    def _end(self, deployment: str, outcome: str) -> None:
        file = self._file(deployment)
        try:
            began_at = float(file.read_text() or self._clock())
            file.unlink()
        except FileNotFoundError:  # none was under way, or another ingress counts it
            return
        ROLLOUTS.labels(deployment, outcome).inc()
        ROLLOUT_SECONDS.labels(deployment, outcome).observe(max(0.0, self._clock() - began_at))

    def _show(self, states: Mapping[str, str]) -> None:
        current = set(states.items())
        for deployment, state in self._shown - current:
            DEPLOYMENT_STATE.labels(deployment, state).set(0)
        for deployment, state in current:
            DEPLOYMENT_STATE.labels(deployment, state).set(1)
        self._shown |= current

    def _file(self, deployment: str) -> Path:
        return self._folder / f"{deployment}.rollout"
