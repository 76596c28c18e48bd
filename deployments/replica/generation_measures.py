"""What the Generator measures of its requests: the engine batches, so a request has a time of its own in the queue."""

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TypeVar

from deployments.autoscaling import SlotMeter
from deployments.telemetry.stage_metrics import StageMetrics

T = TypeVar("T")


class GenerationMeasures:
    """The queue of a request is its wait for a model, and its time in the queue of an engine that measures it."""

    def __init__(self, metrics: StageMetrics) -> None:
        self._metrics = metrics
        self._queue_s: dict[str, float] = {}  # by request id, of the requests under way

    def waited(self, request_id: str, seconds: float) -> None:
        """The request waited, and is no longer waiting. Of a request that has ended, nothing is noted."""
        if request_id in self._queue_s:
            self._queue_s[request_id] += seconds

    @asynccontextmanager
    async def waiting(self, request_id: str, lease: AbstractAsyncContextManager[T]) -> AsyncGenerator[T, None]:
        """The lease, or the turn; the wait for it counts as the request's."""
        start = time.perf_counter()
        async with lease as leased:
            self.waited(request_id, time.perf_counter() - start)
            yield leased

    @contextmanager
    def measured(self, request_id: str, meter: SlotMeter) -> Iterator[None]:
        """Measure a request: its queue, then its work. Its batch are the requests that run when it ends."""
        self._queue_s.setdefault(request_id, 0.0)
        start = time.perf_counter()
        with self._metrics.counting_drops():
            try:
                yield
            finally:
                queue_s = self._queue_s.pop(request_id, 0.0)
                self._metrics.queue_ended(queue_s)
                num_at_once = min(meter.num_running, meter.slots)
                self._metrics.computed(num_at_once, max(0.0, time.perf_counter() - start - queue_s))

    def note_waiting(self, meter: SlotMeter) -> None:
        """Requests beyond the slots wait."""
        self._metrics.note_waiting(max(0, meter.num_running - meter.slots))
