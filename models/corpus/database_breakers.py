"""The breakers of the database: while it does not answer, no call waits for it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from models.breaker import Breaker, BreakerConfig, OnChange
from models.errors.base import RagError
from models.errors.storage import (
    DatabaseBusyError,
    DatabaseDamagedError,
    DatabaseUnavailableError,
    StatementTimeoutError,
)

SLOW_S = 0.5  # an error that comes sooner costs no call its time
DAMAGE_S = 3600.0  # it is reported for so long after it was last seen: few calls read what is damaged


class DatabaseBreakers:
    """Of reads and of writes: a lock may stop writes alone. A slow statement says nothing about other ones.

    An open breaker of reads is closed by a probe in a thread of its own, so that no question waits for the trial.
    Writes are tried by one write. Thread-safe.
    """

    def __init__(self, config: BreakerConfig, probe: Callable[[], None], on_change: OnChange) -> None:
        """`probe` raises RagError if the database does not answer."""
        self._probe = probe
        self._reads, self._writes = (Breaker(config, on_change=on_change) for _ in range(2))
        self.by_name = {"database": self._reads, "database_writes": self._writes}
        self._damage_seen_at = -DAMAGE_S

    @property
    def has_seen_damage(self) -> bool:
        """Whether a call of the last hour could not read what is stored."""
        return time.monotonic() - self._damage_seen_at < DAMAGE_S

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Raises DatabaseUnavailableError at once while no read would be answered."""
        self._admit_read()
        with self._noting(self._reads, DatabaseBusyError):
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Raises DatabaseUnavailableError at once while no write would be answered."""
        self._admit_read()
        if not self._writes.allows():
            raise DatabaseUnavailableError("it took none of the last writes")
        with self._noting(self._writes, StatementTimeoutError):
            yield

    def _admit_read(self) -> None:
        if not self._reads.is_open:
            return
        self._reads.try_beside(self._probe)
        raise DatabaseUnavailableError("it did not answer the last calls")

    @contextmanager
    def _noting(self, breaker: Breaker, harmless: type[RagError]) -> Iterator[None]:
        """Tell the breaker how the block ended. A `harmless` error says nothing about the next call."""
        start = time.perf_counter()
        try:
            yield
        except DatabaseUnavailableError as error:
            if isinstance(error, DatabaseDamagedError):
                self._damage_seen_at = time.monotonic()
            if time.perf_counter() - start >= SLOW_S and not isinstance(error, harmless):
                breaker.fail()
            raise
        except Exception:
            breaker.succeed()  # it answered
            raise
        breaker.succeed()
