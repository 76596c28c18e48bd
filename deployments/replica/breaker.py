"""A circuit breaker: a model that fails again and again is left alone for a while, then tried once."""

import time
from collections.abc import Callable

from pydantic import Field

from deployments.replica.user_config import StageConfig


class BreakerConfig(StageConfig):
    """When a model of a list is left alone."""

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

    def allows(self) -> bool:
        """Whether a request may pass. A trial keeps the others out for another `open_s`."""
        if not self.is_open:
            return True
        if self._clock() < self._open_until:
            return False
        self._open_until = self._clock() + self._config.open_s
        return True

    def succeed(self) -> None:
        self._num_failures = 0

    def fail(self) -> None:
        self._num_failures += 1
        if self.is_open:
            self._open_until = self._clock() + self._config.open_s
