"""A question at a replica that hangs, while the stage's other replica answers. Time is the breaker's clock."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from deployments.calls.client import StageClient
from deployments.calls.inline import InlineHandle
from deployments.calls.stage_breaker import StageBreaker, StageBreakerConfig
from models.errors.stages import InternalError
from models.retry_budget import BURST
from models.stage_status import StageStatus
from models.types.request_context import BACKGROUND_PRIORITY
from tests.contexts import within

LONG_S = 3600.0


class Replicas:
    """Two replicas. The first message, and each while `all_hang`, goes to one that hangs until it `may_answer`."""

    def __init__(self) -> None:
        self.num_calls = self.num_cancelled = 0
        self.all_hang, self.second_fails = False, False
        self.may_answer = asyncio.Event()

    async def work_batch(self, numbers: list[int], envelopes: list[Any]) -> list[Any]:
        self.num_calls += 1
        if self.num_calls == 1 or self.all_hang:
            return await self._hang()
        if self.second_fails:
            return [InternalError("probe") if number == 1 else number for number in numbers]
        return numbers

    async def work(self, number: int) -> int:
        return (await self.work_batch([number], []))[0]

    async def _hang(self) -> list[Any]:
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        return ["the first"]

    async def status(self, *_: object) -> StageStatus:
        return StageStatus("model")


class TwoReplicas(InlineHandle):
    """Behind a hop."""

    @property
    def is_inline(self) -> bool:
        return False

    @property
    def num_replicas(self) -> int:
        return 2


class OneReplica(TwoReplicas):
    @property
    def num_replicas(self) -> int:
        return 1


class Scene:
    """A question, number 1, that waits for the replica that hangs."""

    def __init__(self, config: StageBreakerConfig | None = None, kind: type[InlineHandle] = TwoReplicas) -> None:
        self.now, self.timers = 0.0, list[Callable[[], None]]()
        self.replicas = Replicas()
        self.client = StageClient(kind(self.replicas, {}), "probe")
        self.client.breaker = StageBreaker(
            "probe",
            self.replicas.status,
            config or StageBreakerConfig(),
            lambda: self.now,
            self._call_later,
        )

    def _call_later(self, _: float, callback: Callable[[], None]) -> object:
        self.timers.append(callback)
        return callback

    def ask(self, number: int, priority: int | None = None) -> asyncio.Task[Any]:
        context = within(LONG_S) if priority is None else replace(within(LONG_S), priority=priority)
        return asyncio.ensure_future(self.client.shared_call("work_batch", number, context))

    async def begin(self, priority: int | None = None) -> asyncio.Task[Any]:
        task = self.ask(1, priority)
        await settle()
        assert self.replicas.num_calls == 1
        return task

    async def answer_others(self, seconds: float) -> None:
        """Let the time pass, while the other replica answers a question in each tick."""
        for _ in range(int(seconds / 0.5)):
            assert await self.ask(2) == 2
            self.tick()
            await settle()

    async def hang_second(self) -> None:
        """Send the question again, to a replica that hangs too."""
        await self.answer_others(1.5)
        assert await self.ask(2) == 2
        self.replicas.all_hang = True
        self.tick()
        await settle()
        assert self.replicas.num_calls == 2 + 4

    def tick(self) -> None:
        self.now += 0.5
        timers, self.timers = self.timers, []
        for callback in timers:
            callback()


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


async def test_a_question_that_waits_gets_the_answer_of_the_other_replica() -> None:
    scene = Scene()
    question = await scene.begin()

    await scene.answer_others(1.5)
    assert not question.done()
    await scene.answer_others(0.5)

    assert question.result() == 1
    assert scene.replicas.num_cancelled == 1
    assert scene.client.breaker._slow_s == 0  # the wait for the first is no slow answer
    assert scene.client.breaker.state == "closed"


async def test_the_answer_to_its_status_is_enough_where_nobody_else_asks() -> None:
    scene = Scene()
    question = await scene.begin()

    for _ in range(8):
        scene.tick()
        await settle()

    assert question.result() == 1


async def test_a_stage_whose_slow_answers_take_long_is_waited_for_longer() -> None:
    scene = Scene()
    question = await scene.begin()
    scene.client.breaker._succeed(1.0)  # so its answers take a second at times

    await scene.answer_others(2.5)
    assert not question.done()

    await scene.answer_others(2.5)
    assert question.result() == 1


@pytest.mark.parametrize(
    ("config", "kind", "priority"),
    [
        (StageBreakerConfig(), OneReplica, None),
        (StageBreakerConfig(second_call_s=None), TwoReplicas, None),
        (StageBreakerConfig(enabled=False), TwoReplicas, None),
        (StageBreakerConfig(), TwoReplicas, BACKGROUND_PRIORITY),
    ],
    ids=["one replica", "null", "no breaker", "in the background"],
)
async def test_nothing_else_is_sent_again(
    config: StageBreakerConfig, kind: type[InlineHandle], priority: int | None
) -> None:
    scene = Scene(config, kind)
    question = await scene.begin(priority)

    await scene.answer_others(10)

    assert not question.done()
    assert scene.replicas.num_calls == 1 + 20
    question.cancel()


async def test_a_call_that_shares_no_message_may_be_long_and_is_not_sent_again() -> None:
    scene = Scene()
    call = asyncio.ensure_future(scene.client.call("work", 1, context=within(LONG_S)))
    await settle()

    await scene.answer_others(10)

    assert not call.done()
    call.cancel()


async def test_a_question_is_sent_again_once_and_the_first_answer_counts() -> None:
    scene = Scene()
    question = await scene.begin()
    await scene.hang_second()

    scene.replicas.all_hang = False
    await scene.answer_others(10)
    assert not question.done()
    assert scene.replicas.num_calls == 2 + 4 + 20

    scene.replicas.may_answer.set()
    await settle()
    assert question.result() == "the first"


async def test_an_error_of_the_second_call_is_not_the_questions() -> None:
    scene = Scene()
    question = await scene.begin()
    scene.replicas.second_fails = True

    await scene.answer_others(5)
    assert not question.done()

    scene.replicas.may_answer.set()
    await settle()
    assert question.result() == "the first"


async def test_a_caller_that_leaves_ends_both() -> None:
    scene = Scene()
    question = await scene.begin()
    await scene.hang_second()

    question.cancel()
    await settle()

    assert question.cancelled()
    assert scene.replicas.num_cancelled == 2


async def test_second_calls_are_within_the_budget_of_retries() -> None:
    scene = Scene()
    for _ in range(int(BURST)):
        assert scene.client._retries.take()
    question = await scene.begin()

    await scene.answer_others(4.5)  # so that nine further messages earn no whole retry

    assert not question.done()
    question.cancel()
