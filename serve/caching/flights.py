"""Equal requests under way share one computation, a flight. Every reader gets all of its items, as they come."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Generic, TypeVar

from deployments.telemetry.metrics.caches import CACHE_SHARED
from models.deadline import Deadline
from models.errors.stages import DeadlineExceededError
from serve.caching.config import LevelName

T = TypeVar("T")


class Flight(Generic[T]):
    """The items of one source, for any number of readers. Whoever needs the next item pulls it for all.

    A reader that leaves stops nothing while another reads. The last one that leaves closes the source. So the source
    runs as fast as its fastest reader, and never without one. Belongs to one event loop.
    """

    def __init__(self, source: AsyncGenerator[T, None], level: LevelName, on_end: Callable[[], None]) -> None:
        """`on_end` is called when no reader can join any more."""
        self._source, self._level, self._on_end = source, level, on_end
        self._items: list[T] = []
        self._pull: asyncio.Task[T] | None = None
        self._num_readers = 0
        self._is_over = False
        self._error: BaseException | None = None

    async def read(self, deadline: Deadline) -> AsyncGenerator[T, None]:
        """Every item from the first. Raises the source's error, or DeadlineExceededError at the reader's own deadline.

        Begin to read in the same turn of the event loop that created or found the flight.
        """
        self._num_readers += 1
        position, budget_s = 0, deadline.remaining_s()
        try:
            while True:
                while position == len(self._items) and not self._is_over:
                    await self._next(deadline, budget_s)
                if position == len(self._items):
                    break
                yield self._items[position]
                position += 1
            if self._error is not None:
                raise self._error
        finally:
            self._num_readers -= 1
            if not self._num_readers:
                await self._close()

    async def _next(self, deadline: Deadline, budget_s: float) -> None:
        if self._pull is None:
            self._pull = asyncio.ensure_future(self._pulled())
            self._pull.add_done_callback(self._arrived)
        # Not asyncio.timeout: its cancellation would end the pull, which belongs to all readers.
        done, _ = await asyncio.wait({self._pull}, timeout=deadline.remaining_s())
        if not done:
            raise DeadlineExceededError(self._level, budget_s)

    async def _pulled(self) -> T:
        return await anext(self._source)

    def _arrived(self, pull: "asyncio.Task[T]") -> None:
        self._pull = None
        error = asyncio.CancelledError() if pull.cancelled() else pull.exception()
        if error is None:
            self._items.append(pull.result())
            return
        self._is_over = True
        self._error = None if isinstance(error, StopAsyncIteration) else error
        self._on_end()

    async def _close(self) -> None:
        self._on_end()
        if self._pull is not None:
            self._pull.cancel()
            await asyncio.wait({self._pull})
        await self._source.aclose()


class Flights(Generic[T]):
    """The flights of one level, by key."""

    def __init__(self, level: LevelName) -> None:
        self._level = level
        self._flights: dict[str, Flight[T]] = {}

    async def read(
        self, key: str, source: Callable[[], AsyncGenerator[T, None]], deadline: Deadline
    ) -> AsyncGenerator[T, None]:
        """The items of the flight with this key, or of a new one from `source`, which its first reader leads.

        An error reaches all readers, but for a deadline that was the leader's own: then the next reader leads.
        """
        while True:
            flight, has_begun = self._flights.get(key), False
            leads = flight is None
            if flight is None:
                flight = self._start(key, source())
            else:
                CACHE_SHARED.labels(self._level).inc()
            try:
                async with aclosing(flight.read(deadline)) as items:
                    async for item in items:
                        has_begun = True
                        yield item
                return
            except DeadlineExceededError:
                if leads or has_begun or not deadline.remaining_s():
                    raise

    def _start(self, key: str, source: AsyncGenerator[T, None]) -> Flight[T]:
        flight: Flight[T] = Flight(source, self._level, lambda: self._end(key, flight))
        self._flights[key] = flight
        return flight

    def _end(self, key: str, flight: Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
