"""A circuit breaker: a model or a stage that fails again and again is left alone for a while, then tried once."""

import time
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field


class BreakerConfig(BaseModel):
    """When a model of a list is left alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    failures: int = Field(default=3, ge=1, le=100, description="Failures in a row that open the breaker.")
    open_s: float = Field(
        default=10.0, gt=0, le=3600, description="Time for which an open breaker lets no request through, in seconds."
    )


class Breaker:
    """Closed: requests pass. Open: none does for `open_s`; then one is a trial, and its success closes the breaker."""

    def __init__(self, config: BreakerConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config, self._clock = config, clock
        self._num_failures = 0
        self._open_until = 0.0

    def configure(self, config: BreakerConfig) -> None:
        self._config = config

    @property
    def is_open(self) -> bool:
        return self._num_failures >= self._config.failures

    @property
    def pause_s(self) -> float:
        """Seconds until the next trial; 0 if it is due, or if the breaker is closed."""
        return max(0.0, self._open_until - self._clock()) if self.is_open else 0.0

    def allows(self) -> bool:
        """Whether a request may pass. A trial keeps the others out for another `open_s`."""
        if not self.is_open:
            return True
        if self.pause_s:
            return False
        self.wait()
        return True

    def wait(self) -> None:
        """Put the next trial off."""
        self._open_until = self._clock() + self._config.open_s

    def succeed(self) -> None:
        self._num_failures = 0

    def fail(self) -> None:
        self._num_failures += 1
        if self.is_open:
            self.wait()
