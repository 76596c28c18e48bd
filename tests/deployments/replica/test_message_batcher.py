import asyncio

import pytest

from deployments.replica.message_batcher import MessageBatcher
from deployments.replica.user_config import BatchedStageConfig


class Squares:
    """Work that waits for `may_go`, and notes the messages of each batch."""

    def __init__(self) -> None:
        self.batches: list[list[list[int]]] = []
        self.may_go = asyncio.Event()
        self.started = asyncio.Event()

    async def answer_all(self, messages: list[list[int]]) -> list[list[int]]:
        self.batches.append(messages)
        self.started.set()
        await self.may_go.wait()
        return [[number * number for number in message] for message in messages]


async def test_messages_that_arrive_during_a_batch_form_the_next_one() -> None:
    work = Squares()
    batcher = MessageBatcher(work.answer_all, "probe")
    first = asyncio.ensure_future(batcher.answers([1]))
    await work.started.wait()
    later = [asyncio.ensure_future(batcher.answers([number, 2 * number])) for number in (2, 3)]
    await asyncio.sleep(0)

    work.may_go.set()

    assert await asyncio.gather(first, *later) == [[1], [4, 16], [9, 36]]
    assert work.batches == [[[1]], [[2, 4], [3, 6]]]


async def test_a_batch_has_at_most_the_configured_messages() -> None:
    work = Squares()
    work.may_go.set()
    batcher = MessageBatcher(work.answer_all, "probe")
    batcher.configure(BatchedStageConfig(max_batch_size=2))

    answers = await asyncio.gather(*(batcher.answers([number]) for number in range(5)))

    assert answers == [[0], [1], [4], [9], [16]]
    assert [len(batch) for batch in work.batches] == [2, 2, 1]


async def test_with_a_wait_the_first_message_waits_for_others() -> None:
    work = Squares()
    work.may_go.set()
    batcher = MessageBatcher(work.answer_all, "probe")
    batcher.configure(BatchedStageConfig(batch_wait_timeout_s=0.01))
    first = asyncio.ensure_future(batcher.answers([1]))
    await asyncio.sleep(0)

    second = await batcher.answers([2])

    assert (await first, second) == ([1], [4])
    assert work.batches == [[[1], [2]]]


async def test_a_message_whose_caller_has_left_is_not_computed() -> None:
    work = Squares()
    batcher = MessageBatcher(work.answer_all, "probe")
    first = asyncio.ensure_future(batcher.answers([1]))
    await work.started.wait()
    leaving, staying = asyncio.ensure_future(batcher.answers([2])), asyncio.ensure_future(batcher.answers([3]))
    await asyncio.sleep(0)

    leaving.cancel()
    work.may_go.set()

    assert await asyncio.gather(first, staying) == [[1], [9]]
    assert work.batches == [[[1]], [[3]]]


async def test_an_error_reaches_the_callers_of_its_batch_alone() -> None:
    async def fail_once(messages: list[list[int]]) -> list[list[int]]:
        if [0] in messages:
            raise ZeroDivisionError
        return messages

    batcher = MessageBatcher(fail_once, "probe")
    batcher.configure(BatchedStageConfig(max_batch_size=2))

    results = await asyncio.gather(*(batcher.answers([number]) for number in (0, 1, 2)), return_exceptions=True)

    assert [type(result) for result in results] == [ZeroDivisionError, ZeroDivisionError, list]
    with pytest.raises(ZeroDivisionError):
        await batcher.answers([0])
