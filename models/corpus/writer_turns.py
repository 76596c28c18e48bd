"""The turns of a process' writers. One that waits for its turn keeps a thread, and reads need threads too."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from models.errors.storage import DatabaseBusyError

MAX_PATIENT = 16  # half of the threads of an ingress (BLOCKING_THREADS)
TICK_S, MAX_IDLE_TICKS = 0.25, 8


class WriterTurns:
    """At most `num_at_once` writers work, and the others wait in order, for `longest_s`. Thread-safe.

    While no writer ends, for two seconds or so, only MAX_PATIENT go on waiting, and further ones are refused at once.
    Time is counted in ticks: a process that gets no core for seconds has not waited for the database.
    """

    def __init__(self, num_at_once: int, longest_s: float) -> None:
        self._places, self._longest_s = threading.Semaphore(num_at_once), longest_s
        self._lock = threading.Lock()
        self._num_writers = self._num_ended = 0
        self._is_stuck = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold a place while the block runs. Raises DatabaseBusyError."""
        with self._lock:
            self._num_writers += 1
            is_patient = self._num_writers <= MAX_PATIENT
        try:
            if not (self._places.acquire(timeout=self._longest_s) if is_patient else self._acquire_unless_stuck()):
                raise DatabaseBusyError("its writers wait for each other")
            try:
                yield
            finally:
                self._num_ended, self._is_stuck = self._num_ended + 1, False
                self._places.release()
        finally:
            with self._lock:
                self._num_writers -= 1

    def _acquire_unless_stuck(self) -> bool:
        """Whether a place was free in time. Gives up while no writer ends."""
        end, num_ended, num_idle = time.monotonic() + self._longest_s, self._num_ended, 0
        while not self._is_stuck and time.monotonic() < end:
            if self._places.acquire(timeout=TICK_S):
                return True
            num_idle = num_idle + 1 if self._num_ended == num_ended else 0
            num_ended, self._is_stuck = self._num_ended, num_idle >= MAX_IDLE_TICKS
        return self._places.acquire(blocking=False)
