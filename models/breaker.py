"""A circuit breaker: a model, a stage or a server that fails again and again is left alone for a while, then tried."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from models.errors.base import RagError

logger = logging.getLogger(__name__)
State = Literal["closed", "open", "half_open"]
OnChange = Callable[[bool], None]  # told whether the breaker is open now


class BreakerConfig(BaseModel):
    """When a model, a stage or a server is left alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    failures: int = Field(default=3, ge=1, le=100, description="Failures in a row that open the breaker.")
    open_s: float = Field(
        default=10.0, gt=0, le=3600, description="Time for which an open breaker lets no request through, in seconds."
    )


def ignore_change(is_open: bool) -> None:
    """Tell nobody."""


class Breaker:
    """Closed: requests pass. Open: none does for `open_s`; then one is a trial, and its success closes the breaker.

    Callers ask `allows` before each request, and tell `succeed` or `fail` after it. Thread-safe.
    """

    def __init__(
        self,
        config: BreakerConfig,
        clock: Callable[[], float] = time.monotonic,
        on_change: OnChange = ignore_change,
    ) -> None:
        """`clock` counts seconds. `on_change` is called when it opens and when it closes, in any thread."""
        self._config, self._clock, self._on_change = config, clock, on_change
        self._lock = threading.Lock()
        self._num_failures = 0
        self._open_until = 0.0
        self._is_on_trial = False

    def configure(self, config: BreakerConfig) -> None:
        """Its next failures count by `config`. One that is open stays open, and one that is closed stays closed."""
        with self._lock:
            if self.is_open:
                self._num_failures = max(self._num_failures, config.failures)
            else:
                self._num_failures = min(self._num_failures, config.failures - 1)
            self._config = config

    @property
    def is_open(self) -> bool:
        return self._num_failures >= self._config.failures

    @property
    def is_suspect(self) -> bool:
        """Closed, but the last call failed."""
        return 0 < self._num_failures < self._config.failures

    @property
    def state(self) -> State:
        if not self.is_open:
            return "closed"
        return "half_open" if self._is_on_trial or not self.pause_s else "open"

    @property
    def pause_s(self) -> float:
        """Seconds until the next trial; 0 if it is due, or if the breaker is closed."""
        return max(0.0, self._open_until - self._clock()) if self.is_open else 0.0

    def allows(self) -> bool:
        """Whether a request may pass. A trial keeps the others out for another `open_s`."""
        if not self.is_open:
            return True
        with self._lock:
            if self.pause_s:
                return False
            self.postpone_trial()
            self._is_on_trial = self.is_open  # it may have closed before the lock was free
            return True

    def try_beside(self, probe: Callable[[], None]) -> None:
        """While it is open, once every `open_s`: run `probe` in a thread, so that no caller waits for the trial.

        It closes the breaker, unless it raises RagError.
        """
        if self.allows():
            threading.Thread(target=self._try, args=(probe,), name="breaker probe", daemon=True).start()

    def _try(self, probe: Callable[[], None]) -> None:
        try:
            probe()
        except RagError as error:
            self.fail()
            logger.warning("a server is still left alone: %s", error)
        else:
            self.succeed()

    def postpone_trial(self) -> None:
        """Let no request through for another `open_s`."""
        self._open_until = self._clock() + self._config.open_s

    def succeed(self) -> None:
        """Note a success, which closes it."""
        if not self._num_failures:
            return
        with self._lock:
            was_open = self.is_open
            self._num_failures, self._is_on_trial = 0, False
        if was_open:
            self._on_change(False)

    def fail(self) -> None:
        """Note a failure. The last one of `failures` in a row opens it; while it is open, it postpones the trial."""
        self._fail(1)

    def trip(self) -> None:
        """Open it now, whatever the number of failures."""
        self._fail(self._config.failures)

    def _fail(self, num_failures: int) -> None:
        with self._lock:
            was_open = self.is_open
            self._num_failures += num_failures
            self._is_on_trial = False
            if self.is_open:
                self.postpone_trial()
        if self.is_open and not was_open:
            self._on_change(True)


def worst(states: list[State]) -> State:
    """The state of a stage with several shards, or of a server; closed without a breaker."""
    return max(states, key=("closed", "half_open", "open").index, default="closed")
