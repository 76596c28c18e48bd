"""Equal requests under way share one computation, whoever leaves, is late or fails."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from models.deadline import Deadline
from models.errors.stages import DeadlineExceededError, StageUnavailableError
from serve.caching.flights import Flights

KEY = "question"


class Source:
    """A computation that a test lets go on, item by item. Counts how often it is begun and closed."""

    def __init__(self, num_items: int = 3) -> None:
        self.num_begun = self.num_ended = 0
        self._num_items = num_items
        self._may_go_on = asyncio.Semaphore(0)

    def go_on(self, num_items: int = 1) -> None:
        for _ in range(num_items):
            self._may_go_on.release()

    async def items(self) -> AsyncGenerator[int, None]:
        self.num_begun += 1
        try:
            for item in range(self._num_items):
                await self._may_go_on.acquire()
                yield item
        finally:
            self.num_ended += 1


async def read(flights: Flights[int], source: Source, budget_s: float = 60) -> list[int]:
    return [item async for item in flights.read(KEY, source.items, Deadline.after(budget_s))]


async def until_they_wait() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_equal_requests_share_one_computation() -> None:
    flights, source = Flights[int]("answers"), Source()
    readers = [asyncio.create_task(read(flights, source)) for _ in range(3)]
    await until_they_wait()

    source.go_on(3)

    assert await asyncio.gather(*readers) == [[0, 1, 2]] * 3
    assert (source.num_begun, source.num_ended) == (1, 1)


async def test_a_late_reader_gets_the_items_that_came_before_it() -> None:
    flights, source = Flights[int]("answers"), Source()
    first = asyncio.create_task(read(flights, source))
    source.go_on(2)
    await until_they_wait()

    second = asyncio.create_task(read(flights, source))
    await until_they_wait()
    source.go_on()

    assert await asyncio.gather(first, second) == [[0, 1, 2]] * 2
    assert source.num_begun == 1


async def test_requests_of_other_keys_and_later_ones_compute_for_themselves() -> None:
    flights, source = Flights[int]("answers"), Source(1)
    source.go_on(3)

    for key in ("a", "b", "b"):
        assert [item async for item in flights.read(key, source.items, Deadline.never())] == [0]

    assert source.num_begun == 3


async def test_a_leader_that_leaves_stops_nothing_while_another_waits() -> None:
    flights, source = Flights[int]("answers"), Source()
    leader = asyncio.create_task(read(flights, source))
    await until_they_wait()
    waiter = asyncio.create_task(read(flights, source))
    await until_they_wait()

    leader.cancel()
    await asyncio.gather(leader, return_exceptions=True)
    source.go_on(3)

    assert await waiter == [0, 1, 2]
    assert (source.num_begun, source.num_ended) == (1, 1)


async def test_the_last_reader_that_leaves_closes_the_computation() -> None:
    flights, source = Flights[int]("answers"), Source()
    readers = [asyncio.create_task(read(flights, source)) for _ in range(2)]
    source.go_on()
    await until_they_wait()

    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)

    assert (source.num_begun, source.num_ended) == (1, 1)


async def test_after_all_have_left_a_new_request_begins_anew() -> None:
    flights, source = Flights[int]("answers"), Source()
    reader = asyncio.create_task(read(flights, source))
    await until_they_wait()
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)

    source.go_on(3)

    assert await read(flights, source) == [0, 1, 2]
    assert source.num_begun == 2


async def test_a_reader_that_stops_in_the_middle_frees_its_computation_at_once() -> None:
    flights, source = Flights[int]("answers"), Source()
    source.go_on(3)

    async with aclosing(flights.read(KEY, source.items, Deadline.never())) as items:
        assert await anext(items) == 0

    assert source.num_ended == 1


async def test_nothing_is_computed_ahead_of_the_fastest_reader() -> None:
    source = Source()
    source.go_on(3)
    computed: list[int] = []

    async def recorded() -> AsyncGenerator[int, None]:
        async for item in source.items():
            computed.append(item)
            yield item

    async with aclosing(Flights[int]("answers").read(KEY, recorded, Deadline.never())) as items:
        await anext(items)
        await until_they_wait()

        assert computed == [0]


async def test_an_error_reaches_every_reader_and_is_not_remembered() -> None:
    flights, has_begun, may_fail = Flights[int]("answers"), asyncio.Event(), asyncio.Event()

    async def failing() -> AsyncGenerator[int, None]:
        has_begun.set()
        await may_fail.wait()
        raise StageUnavailableError("generate")
        yield 0

    async def failed() -> list[int]:
        return [item async for item in flights.read(KEY, failing, Deadline.never())]

    readers = [asyncio.create_task(failed()) for _ in range(2)]
    await has_begun.wait()
    await until_they_wait()
    may_fail.set()
    results = await asyncio.gather(*readers, return_exceptions=True)

    assert [type(result) for result in results] == [StageUnavailableError] * 2
    source = Source(1)
    source.go_on()
    assert await read(flights, source) == [0]


async def test_a_waiter_leads_when_the_leaders_own_time_is_over() -> None:
    flights, source = Flights[int]("answers"), Source(1)
    deadline_passed = asyncio.Event()

    async def late() -> AsyncGenerator[int, None]:
        await deadline_passed.wait()
        raise DeadlineExceededError("generate", 1.0)
        yield 0

    async def lead() -> list[int]:
        return [item async for item in flights.read(KEY, late, Deadline.never())]

    leader = asyncio.create_task(lead())
    await until_they_wait()
    waiters = [asyncio.create_task(read(flights, source)) for _ in range(2)]
    await until_they_wait()

    deadline_passed.set()
    source.go_on()

    with pytest.raises(DeadlineExceededError):
        await leader
    assert await asyncio.gather(*waiters) == [[0], [0]]
    assert source.num_begun == 1


async def test_a_waiter_keeps_its_own_deadline() -> None:
    flights, source = Flights[int]("answers"), Source(1)
    leader = asyncio.create_task(read(flights, source))
    await until_they_wait()

    with pytest.raises(DeadlineExceededError):
        await read(flights, source, budget_s=0.01)

    source.go_on()
    assert await leader == [0]
