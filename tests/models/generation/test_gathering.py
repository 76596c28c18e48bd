"""The pace at which a stream is read: the first output at once, and no pause after the last."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from models.generation.followed_call import FollowedCall
from models.generation.gathering import gather
from tests.patience import PATIENCE_S

LONG_S = 60.0
CALL = FollowedCall(lambda queue_s: None)


@dataclass
class Times:
    """When an engine queued a request, and when it began it."""

    queued_ts: float
    scheduled_ts: float


@dataclass
class Output:
    """As far as an engine's output is looked at."""

    finished: bool
    metrics: Times | None = None


class Engine:
    """Outputs as they are taken; `is_closed` once nobody reads them any more."""

    def __init__(self, num_outputs: int) -> None:
        self._num_outputs = num_outputs
        self.num_taken = 0
        self.is_closed = False

    async def outputs(self) -> AsyncGenerator[Any, None]:
        try:
            for number in range(1, self._num_outputs + 1):
                self.num_taken += 1
                yield Output(finished=number == self._num_outputs)
        finally:
            self.is_closed = True


async def test_the_first_output_comes_at_once_and_the_second_after_the_pause() -> None:
    engine = Engine(3)
    outputs = gather(engine.outputs(), LONG_S, CALL)

    async with asyncio.timeout(PATIENCE_S):
        assert (await anext(outputs)).finished is False
    second = asyncio.ensure_future(anext(outputs))
    await asyncio.sleep(0.01)

    assert (engine.num_taken, second.done()) == (1, False)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert engine.is_closed


async def test_nothing_is_waited_for_after_the_last_output() -> None:
    async with asyncio.timeout(PATIENCE_S):
        assert [output.finished async for output in gather(Engine(1).outputs(), LONG_S, CALL)] == [True]


async def test_every_output_arrives() -> None:
    for gather_s in (0.0, 0.001):
        assert [output.finished async for output in gather(Engine(4).outputs(), gather_s, CALL)] == [False] * 3 + [True]


async def test_the_first_output_alone_says_how_long_the_request_was_queued() -> None:
    async def outputs() -> AsyncGenerator[Any, None]:
        for _ in range(3):
            yield Output(finished=False, metrics=Times(2.0, 2.5))

    waits: list[float] = []
    async for _ in gather(outputs(), 0.0, FollowedCall(waits.append)):
        pass

    assert waits == [0.5]
