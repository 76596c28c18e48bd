"""Prometheus' metrics, whose observations are gathered in memory and written together, at most FLUSH_S late.

Prometheus' own write each observation at once: a walk over the buckets, then two values of a shared file, each with a
lock and a call of the system. A question has some seventy observations, most of them of the same few metrics as the
question before. So each metric is written once for all questions of an interval.

A process that is killed loses what it observed since its last flush. One that ends writes it.
"""

import atexit
import logging
import os
import threading
import time
from bisect import bisect_left
from collections import Counter as Counts
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Self

import prometheus_client
from prometheus_client import Metric
from prometheus_client.metrics import MetricWrapperBase

FLUSH_S = 0.2

logger = logging.getLogger(__name__)


class Buffer:
    """The observations of this process that are not yet written. Any thread may add, and any may flush."""

    def __init__(self) -> None:
        self._observations: deque[tuple[BufferedMetric, float]] = deque()  # each of its operations is atomic
        self._is_due, self._due = False, threading.Event()  # the flag: a look at the event would cost more
        self._starting, self._flushing = threading.Lock(), threading.Lock()
        self._thread: threading.Thread | None = None
        self._failing: set[BufferedMetric] = set()  # whose errors are logged

    def add(self, metric: "BufferedMetric", amount: float) -> None:
        self._observations.append((metric, amount))
        if not self._is_due:
            self._plan()

    def flush(self) -> None:
        """Write what was observed so far. What a metric refuses is lost, and the log names it once."""
        with self._flushing:
            amounts: defaultdict[BufferedMetric, list[float]] = defaultdict(list)
            for _ in range(len(self._observations)):
                metric, amount = self._observations.popleft()
                amounts[metric].append(amount)
            for metric, of_metric in amounts.items():
                self._write(metric, of_metric)

    def _write(self, metric: "BufferedMetric", amounts: Sequence[float]) -> None:
        try:
            metric.write(amounts)
        except Exception:  # the thread must go on, and the other metrics have theirs in this flush too
            if metric not in self._failing:
                self._failing.add(metric)
                logger.exception("observations of %s are lost", metric)

    def wait_before_fork(self) -> None:
        """Fork between flushes: a lock that one holds would never be released in the child."""
        self._flushing.acquire()

    def go_on_after_fork(self) -> None:
        self._flushing.release()

    def restart_in_child(self) -> None:
        """A fork has no thread of its parent, which writes its observations itself."""
        self._observations.clear()
        self._is_due, self._due = False, threading.Event()
        self._starting, self._flushing = threading.Lock(), threading.Lock()
        self._thread = None

    def _plan(self) -> None:
        self._is_due = True
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="metrics-flush", daemon=True)
                self._thread.start()
        self._due.set()

    def _run(self) -> None:
        while True:
            self._due.wait()
            time.sleep(FLUSH_S)
            # In this order: what is added from here on plans the next flush, what was added before is in this one.
            self._due.clear()
            self._is_due = False
            self.flush()


BUFFER = Buffer()
atexit.register(BUFFER.flush)
os.register_at_fork(
    before=BUFFER.wait_before_fork,
    after_in_parent=BUFFER.go_on_after_fork,
    after_in_child=BUFFER.restart_in_child,
)


class BufferedMetric(MetricWrapperBase):
    """What the three types have in common. A scrape of this process sees everything."""

    def labels(self, *values: str) -> Self:  # type: ignore[override]
        """As Prometheus', for a sixth of its time: values are texts, and no names are given."""
        child: Self | None = self._metrics.get(values)  # type: ignore[assignment]
        return super().labels(*values) if child is None else child

    def collect(self) -> Iterable[Metric]:
        BUFFER.flush()
        return super().collect()

    def write(self, amounts: Sequence[float]) -> None:
        """Write what was observed, in its order."""
        raise NotImplementedError


class Counter(BufferedMetric, prometheus_client.Counter):
    def inc(self, amount: float = 1) -> None:  # type: ignore[override]
        """Raises ValueError if `amount` is negative."""
        if amount < 0:
            raise ValueError(f"a counter cannot go down by {-amount}")
        BUFFER.add(self, amount)

    def write(self, amounts: Sequence[float]) -> None:
        super().inc(sum(amounts))


class Level(float):
    """A gauge's new value, among its changes."""


class Gauge(BufferedMetric, prometheus_client.Gauge):
    def inc(self, amount: float = 1) -> None:
        BUFFER.add(self, amount)

    def dec(self, amount: float = 1) -> None:
        BUFFER.add(self, -amount)

    def set(self, value: float) -> None:
        BUFFER.add(self, Level(value))

    def write(self, amounts: Sequence[float]) -> None:
        level, change = None, 0.0
        for amount in amounts:
            if isinstance(amount, Level):
                level, change = amount, 0.0
            else:
                change += amount
        if level is not None:
            super().set(level + change)
        elif change:
            super().inc(change)


class Histogram(BufferedMetric, prometheus_client.Histogram):
    def observe(self, amount: float) -> None:  # type: ignore[override]
        BUFFER.add(self, amount)

    def write(self, amounts: Sequence[float]) -> None:
        # As `observe` does for one amount: the first bucket whose bound is not below it.
        self._sum.inc(sum(amounts))
        for place, count in Counts(bisect_left(self._upper_bounds, amount) for amount in amounts).items():
            self._buckets[place].inc(count)
