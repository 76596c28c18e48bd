"""Calls that share a message: who travels together, who waits, and what becomes of those that fail or leave."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from deployments.calls.coalescer import Coalescer, CoalescingConfig, quick_s, wait_s
from deployments.calls.envelope import Envelope
from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.requests import NotFoundError
from models.errors.stages import DeadlineExceededError, StageUnavailableError
from models.types.request_context import RequestContext
from tests.contexts import assert_arrived, of_two_tenants, within
from tests.patience import PATIENCE_S


class Stage:
    """Doubles numbers. Messages wait at the gate while it is closed; a negative number fails alone."""

    def __init__(self) -> None:
        self.messages: list[list[int]] = []
        self.envelopes: list[list[Envelope]] = []
        self.cancelled: list[list[int]] = []
        self.second_sent = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: BaseException | None = None

    async def send(self, items: list[Any], envelopes: list[Envelope]) -> Sequence[Any]:
        self.messages.append(items)
        self.envelopes.append(envelopes)
        if len(self.messages) == 2:
            self.second_sent.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(items)
            raise
        if self.error is not None:
            raise self.error
        return [NotFoundError("number", str(item)) if item < 0 else 2 * item for item in items]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def coalescer(stage: Stage, **config: Any) -> Coalescer:
    return Coalescer(stage.send, CoalescingConfig(**config), "embed")


def soon() -> RequestContext:
    return within(5)


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_a_lone_call_is_sent_at_once_and_alone(stage: Stage) -> None:
    calls = coalescer(stage, max_wait_s=1)

    assert [await calls.call(number, soon()) for number in (1, 2)] == [2, 4]
    assert stage.messages == [[1], [2]]


async def test_calls_of_one_turn_of_the_loop_share_a_message(stage: Stage) -> None:
    calls = coalescer(stage)

    assert await asyncio.gather(*(calls.call(number, soon()) for number in range(5))) == [0, 2, 4, 6, 8]
    assert stage.messages == [[0, 1, 2, 3, 4]]


async def test_calls_gather_while_a_message_is_on_its_way(stage: Stage) -> None:
    calls = coalescer(stage, max_wait_s=1)
    stage.gate.clear()
    first = asyncio.create_task(calls.call(1, soon()))
    await turns()
    later = [asyncio.create_task(calls.call(number, soon())) for number in (2, 3)]
    await turns()
    assert stage.messages == [[1]]

    stage.gate.set()

    assert await asyncio.gather(first, *later) == [2, 4, 6]
    assert stage.messages == [[1], [2, 3]]


async def test_nobody_waits_longer_than_max_wait_for_a_message_on_its_way(stage: Stage) -> None:
    calls = coalescer(stage, max_wait_s=0.001)
    stage.gate.clear()
    first = asyncio.create_task(calls.call(1, soon()))
    await turns()
    second = asyncio.create_task(calls.call(2, soon()))

    async with asyncio.timeout(PATIENCE_S):
        await stage.second_sent.wait()

    stage.gate.set()
    assert await asyncio.gather(first, second) == [2, 4]


def test_where_messages_take_long_company_is_not_waited_for_as_long() -> None:
    config = CoalescingConfig(max_wait_s=0.01)

    assert wait_s(config, message_s=0.0) == wait_s(config, message_s=0.015) == 0.01
    assert wait_s(config, message_s=0.05) == pytest.approx(0.002)


def test_what_messages_take_follows_the_quick_ones() -> None:
    config, quick = CoalescingConfig(max_wait_s=0.01), 0.0
    for took_s in (0.004, 0.06, 0.05, 0.005, 0.06):  # a busy process answers most of them late
        quick = quick_s(quick, took_s)
    assert wait_s(config, quick) == 0.01

    for _ in range(50):
        quick = quick_s(quick, 0.06)
    assert wait_s(config, quick) == pytest.approx(0.002)


async def test_a_full_message_leaves_at_once(stage: Stage) -> None:
    calls = coalescer(stage, max_items=2, max_wait_s=1)
    stage.gate.clear()

    callers = [asyncio.create_task(calls.call(number, soon())) for number in range(5)]
    await turns()

    assert stage.messages == [[0, 1], [2, 3]]
    stage.gate.set()
    assert await asyncio.gather(*callers) == [0, 2, 4, 6, 8]


async def test_no_message_is_larger_than_it_may_be(stage: Stage) -> None:
    calls = coalescer(stage, max_items=1)

    assert await asyncio.gather(*(calls.call(number, soon()) for number in range(3))) == [0, 2, 4]
    assert stage.messages == [[0], [1], [2]]


async def test_each_item_of_a_shared_message_keeps_its_own_envelope(stage: Stage) -> None:
    calls, contexts = coalescer(stage), of_two_tenants()

    await asyncio.gather(*(calls.call(number, context) for number, context in enumerate(contexts)))

    (envelopes,) = stage.envelopes
    assert_arrived(envelopes, contexts)


async def test_one_bad_item_fails_alone(stage: Stage) -> None:
    calls = coalescer(stage)

    good, bad = await asyncio.gather(calls.call(1, soon()), calls.call(-1, soon()), return_exceptions=True)

    assert good == 2
    assert isinstance(bad, NotFoundError)


@pytest.mark.parametrize(
    ("error", "expected"),
    [(OverloadedError("embed"), OverloadedError), (asyncio.CancelledError(), StageUnavailableError)],
)
async def test_a_message_that_fails_fails_all_its_calls(
    stage: Stage, error: BaseException, expected: type[RagError]
) -> None:
    calls, stage.error = coalescer(stage), error

    failed = await asyncio.gather(*(calls.call(number, soon()) for number in (1, 2)), return_exceptions=True)

    assert [type(error) for error in failed] == [expected, expected]


async def test_each_call_has_its_own_deadline(stage: Stage) -> None:
    calls = coalescer(stage)
    stage.gate.clear()
    patient = asyncio.create_task(calls.call(1, soon()))

    with pytest.raises(DeadlineExceededError):
        await calls.call(2, within(0.01))
    stage.gate.set()

    assert await patient == 2
    assert stage.cancelled == []
    hurried, patient_one = stage.envelopes[0]
    assert hurried.budget_s <= 0.01 < patient_one.budget_s


async def test_the_message_is_cancelled_when_its_last_caller_leaves(stage: Stage) -> None:
    calls = coalescer(stage)
    stage.gate.clear()
    callers = [asyncio.create_task(calls.call(number, soon())) for number in (1, 2)]
    await turns()

    callers[0].cancel()
    await turns()
    assert stage.cancelled == []
    callers[1].cancel()
    await turns()

    assert stage.cancelled == [[1, 2]]


async def test_a_call_that_was_left_before_it_was_sent_is_not_sent(stage: Stage) -> None:
    calls = coalescer(stage, max_wait_s=1)
    stage.gate.clear()
    first = asyncio.create_task(calls.call(1, soon()))
    await turns()
    leaver, stayer = (asyncio.create_task(calls.call(number, soon())) for number in (2, 3))
    await turns()

    leaver.cancel()
    stage.gate.set()

    assert await asyncio.gather(first, stayer) == [2, 6]
    assert stage.messages == [[1], [3]]


async def test_the_first_of_a_turn_may_leave_before_the_others_are_sent(stage: Stage) -> None:
    calls = coalescer(stage, max_wait_s=1)
    leaver, stayer = (asyncio.create_task(calls.call(number, soon())) for number in (1, 2))
    await turns(1)

    leaver.cancel()

    assert await stayer == 4
    assert stage.messages == [[2]]
    assert await calls.call(3, soon()) == 6


async def test_a_lone_call_whose_caller_leaves_is_cancelled(stage: Stage) -> None:
    calls = coalescer(stage)
    stage.gate.clear()
    leaver = asyncio.create_task(calls.call(1, soon()))
    await turns()

    leaver.cancel()

    assert isinstance((await asyncio.gather(leaver, return_exceptions=True))[0], asyncio.CancelledError)
    assert stage.cancelled == [[1]]


async def test_a_lone_call_has_its_deadline_and_fails_alone(stage: Stage) -> None:
    calls = coalescer(stage)
    with pytest.raises(NotFoundError):
        await calls.call(-1, soon())
    stage.gate.clear()

    with pytest.raises(DeadlineExceededError):
        await calls.call(1, within(0.01))

    assert stage.cancelled == [[1]]


async def test_a_lone_call_whose_replica_was_cancelled_is_without_a_stage(stage: Stage) -> None:
    calls, stage.error = coalescer(stage), asyncio.CancelledError()

    with pytest.raises(StageUnavailableError):
        await calls.call(1, soon())


async def test_after_a_failed_message_calls_go_on(stage: Stage) -> None:
    calls, stage.error = coalescer(stage, max_wait_s=1), OverloadedError("embed")
    with pytest.raises(OverloadedError):
        await calls.call(1, soon())

    stage.error = None

    assert await calls.call(2, soon()) == 4


async def test_tenants_share_a_message_only_while_messages_are_quick(stage: Stage) -> None:
    calls = coalescer(stage, max_wait_s=0.0)  # any message is long
    tenants = of_two_tenants()

    assert await calls.call(0, tenants[0]) == 0
    assert await asyncio.gather(*(calls.call(number, tenants[number % 2]) for number in (1, 2, 3))) == [2, 4, 6]

    assert sorted(stage.messages[1:]) == [[1, 3], [2]]
