"""The metrics of one stage inside its replica, with their labels resolved once."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from deployments.telemetry.metrics.stages import (
    STAGE_BATCH_SIZE,
    STAGE_COMPUTE_SECONDS,
    STAGE_DROPPED,
    STAGE_PADDING,
    STAGE_QUEUE_SECONDS,
    STAGE_RETRIES,
    STAGE_TOKENS,
    STAGE_WAITING,
)
from models.errors.base import RagError
from models.errors.limits import OverloadedError


class StageMetrics:
    """What a batch of the stage had. `stage` is the label."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._waiting = STAGE_WAITING.labels(stage)
        self._queue_seconds = STAGE_QUEUE_SECONDS.labels(stage)
        self._compute_seconds = STAGE_COMPUTE_SECONDS.labels(stage)
        self._batch_size = STAGE_BATCH_SIZE.labels(stage)
        self._tokens, self._padding = STAGE_TOKENS.labels(stage), STAGE_PADDING.labels(stage)
        self._retries = STAGE_RETRIES.labels(stage)
        # Known from the start, so that a first drop is an increase.
        for reason in ("overloaded", "deadline_exceeded", "cancelled"):
            STAGE_DROPPED.labels(stage, reason)

    def arrived(self) -> None:
        """A call waits from now on. `waited` or `left` ends that."""
        self._waiting.inc()

    def waited(self, seconds: float) -> None:
        """A waiting call's first batch begins, `seconds` after the call arrived."""
        self._waiting.dec()
        self._queue_seconds.observe(seconds)

    def queue_ended(self, seconds: float) -> None:
        """A call waited in a queue whose length `note_waiting` gives."""
        self._queue_seconds.observe(seconds)

    def note_waiting(self, num_calls: int) -> None:
        """The queue has this length now."""
        self._waiting.set(num_calls)

    def left(self) -> None:
        """A waiting call ends without a batch."""
        self._waiting.dec()

    @contextmanager
    def queued(self) -> Iterator["QueuedCall"]:
        """A call that computes alone: it waits until `begin`."""
        call = QueuedCall(self)
        self.arrived()
        try:
            yield call
        finally:
            if not call.has_begun:
                self.left()

    def computed(self, num_items: int, seconds: float) -> None:
        """A batch ended."""
        self._batch_size.observe(num_items)
        self._compute_seconds.observe(seconds)

    def read(self, num_tokens: int, num_padding: int) -> None:
        """The batch had these tokens, and this padding beside them."""
        self._tokens.inc(num_tokens)
        self._padding.inc(num_padding)

    def dropped(self, reason: str) -> None:
        STAGE_DROPPED.labels(self._stage, reason).inc()

    def retried(self) -> None:
        self._retries.inc()

    @contextmanager
    def counting_drops(self) -> Iterator[None]:
        """Count what the block raises if it is a full queue, a deadline or a cancellation."""
        try:
            yield
        except TimeoutError:
            self.dropped("deadline_exceeded")
            raise
        except (asyncio.CancelledError, GeneratorExit):
            self.dropped("cancelled")
            raise
        except RagError as error:
            if isinstance(error, OverloadedError):
                self.dropped(error.code)
            raise


class QueuedCall:
    """A call inside a replica, from its arrival on."""

    def __init__(self, stage: StageMetrics) -> None:
        self._stage = stage
        self._arrived_at, self._begun_at = time.perf_counter(), 0.0

    @property
    def has_begun(self) -> bool:
        return self._begun_at > 0

    @property
    def computed_s(self) -> float:
        """Seconds since it began; 0 before."""
        return time.perf_counter() - self._begun_at if self.has_begun else 0.0

    def begin(self) -> None:
        """It is computed from now on. Further calls change nothing."""
        if not self.has_begun:
            self._begun_at = time.perf_counter()
            self._stage.waited(self._begun_at - self._arrived_at)
