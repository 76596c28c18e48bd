"""A stage's breaker: what opens it, what a question costs while it is open, and what closes it."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from deployments.calls.client import StageClient
from deployments.calls.inline import InlineHandle
from deployments.calls.stage_breaker import StageBreaker, StageBreakerConfig
from models.breaker import worst
from models.errors import (
    BreakerOpenError,
    DeadlineExceededError,
    InternalError,
    InvalidRequestError,
    OverloadedError,
    StageUnavailableError,
)
from models.stage_status import StageStatus
from models.types import BACKGROUND_PRIORITY
from tests.contexts import within
from tests.patience import PATIENCE_S

CONFIG = StageBreakerConfig(failures=3, open_s=10, min_budget_s=3)
LATE = DeadlineExceededError("rerank", 5.0)


class Stage:
    """The status of a stage that a test turns on and off, and a clock that it moves."""

    def __init__(self) -> None:
        self.now, self.is_up, self.num_asked = 0.0, False, 0

    async def status(self) -> StageStatus:
        self.num_asked += 1
        if not self.is_up:
            raise StageUnavailableError("rerank")
        return StageStatus()

    def breaker(self, config: StageBreakerConfig = CONFIG) -> StageBreaker:
        return StageBreaker("rerank", self.status, config, lambda: self.now)


def fail(breaker: StageBreaker, times: int = 3) -> None:
    for _ in range(times):
        breaker.failed(LATE, budget_s=5, elapsed_s=5)


async def refused(breaker: StageBreaker) -> bool:
    """Whether a question is refused at once. A status that it asks for has then been answered."""
    try:
        breaker.admit()
    except BreakerOpenError:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return True
    return False


async def test_three_late_answers_in_a_row_open_it() -> None:
    breaker = Stage().breaker()

    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.state == "closed"

    fail(breaker, 1)
    assert breaker.state == "open"
    assert await refused(breaker)


@pytest.mark.parametrize(
    ("error", "budget_s", "elapsed_s"),
    [
        (LATE, 2.9, 2.9),  # a client's short deadline
        (StageUnavailableError("rerank"), 5, 0.1),  # it costs nothing
        (OverloadedError("rerank"), 5, 5),
        (InternalError("rerank"), 5, 5),
        (InvalidRequestError("too long"), 5, 5),
    ],
)
async def test_what_says_nothing_about_the_next_question_opens_nothing(
    error: Any, budget_s: float, elapsed_s: float
) -> None:
    breaker = Stage().breaker()

    for _ in range(10):
        breaker.failed(error, budget_s, elapsed_s)

    assert breaker.state == "closed"


async def test_a_dead_stage_costs_no_question_until_it_answers_again() -> None:
    stage = Stage()
    breaker = stage.breaker()
    fail(breaker)

    for stage.now in range(60):
        assert await refused(breaker)
    assert stage.num_asked == 60  # once a second, beside the questions

    stage.is_up, stage.now = True, 60
    assert await refused(breaker)
    assert breaker.state == "half_open"
    assert not await refused(breaker)  # the trial
    assert await refused(breaker)  # no other question until its outcome
    breaker.succeeded()
    assert breaker.state == "closed"
    assert not await refused(breaker)


async def test_a_slow_stage_costs_one_question_in_every_pause() -> None:
    stage = Stage()
    breaker, stage.is_up = stage.breaker(), True
    fail(breaker)
    trials = 0

    for tenth in range(600):
        stage.now = tenth / 10
        if not await refused(breaker):
            trials += 1
            breaker.failed(LATE, budget_s=5, elapsed_s=5)

    assert trials == 5  # after 10, 20, 30, 40 and 50 s


async def test_a_trial_whose_client_leaves_is_followed_by_another() -> None:
    stage = Stage()
    breaker, stage.is_up = stage.breaker(), True
    fail(breaker)
    assert await refused(breaker)

    stage.now = 10
    assert not await refused(breaker)
    assert await refused(breaker)
    stage.now = 20
    assert not await refused(breaker)


async def test_a_reader_that_leaves_a_silent_stream_late_tells_of_a_failure() -> None:
    breaker = Stage().breaker()

    for _ in range(3):
        breaker.left(19.0)
    assert breaker.state == "closed"

    for _ in range(3):
        breaker.left(20.0)
    assert breaker.state == "open"


async def test_it_can_be_turned_off_while_it_is_open() -> None:
    breaker = Stage().breaker()
    fail(breaker)

    breaker.configure(CONFIG.model_copy(update={"enabled": False}))

    assert breaker.state == "closed"
    assert not await refused(breaker)


def test_a_stage_is_as_open_as_its_worst_shard() -> None:
    assert worst(["closed", "half_open", "closed"]) == "half_open"
    assert worst(["half_open", "open"]) == "open"
    assert worst([]) == "closed"


class Replica:
    """A stage in this process that hangs, dies once, or answers."""

    def __init__(self) -> None:
        self.hangs, self.deaths_left, self.num_calls = False, 0, 0

    async def work(self, number: int) -> int:
        self.num_calls += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.deaths_left:
            self.deaths_left -= 1
            raise StageUnavailableError("probe")
        return number

    async def stream(self, number: int) -> Any:
        if self.hangs:
            await asyncio.Event().wait()
        yield number

    async def status(self) -> StageStatus:
        if self.hangs:
            raise StageUnavailableError("probe")
        return StageStatus("model")


def client_of(replica: Replica) -> StageClient:
    client = StageClient(InlineHandle(replica, {}), "probe")
    client.breaker.configure(StageBreakerConfig(failures=3, open_s=0.05, min_budget_s=0.01, first_item_s=0.01))
    return client


def open_breakers() -> float:
    return REGISTRY.get_sample_value("ragserve_open_breakers", {"stage": "probe"}) or 0.0


async def caught(call: Awaitable[Any]) -> type[Exception] | Any:
    try:
        return await call
    except Exception as error:  # noqa: BLE001, the test compares it
        return type(error)


async def test_the_first_questions_wait_for_a_hung_stage_and_the_next_ones_do_not() -> None:
    replica, before = Replica(), open_breakers()
    client, replica.hangs = client_of(replica), True

    outcomes = [await caught(client.call("work", 1, context=within(0.02))) for _ in range(6)]

    assert outcomes == [DeadlineExceededError] * 3 + [BreakerOpenError] * 3
    assert replica.num_calls == 3
    assert open_breakers() == before + 1

    replica.hangs = False
    async with asyncio.timeout(PATIENCE_S):
        while await caught(client.call("work", 1, context=within(5))) != 1:  # noqa: ASYNC110, its probe takes turns
            await asyncio.sleep(0.01)
    assert client.breaker.state == "closed"
    assert open_breakers() == before


async def test_work_in_the_background_passes_an_open_breaker_and_opens_none() -> None:
    replica = Replica()
    client, replica.hangs = client_of(replica), True
    ingestion = replace(within(0.02), priority=BACKGROUND_PRIORITY)

    outcomes = [await caught(client.call("work", 1, context=ingestion)) for _ in range(4)]

    assert outcomes == [DeadlineExceededError] * 4
    assert client.breaker.state == "closed"


async def test_streams_that_never_begin_open_it_and_the_next_one_fails_at_once() -> None:
    replica = Replica()
    client, replica.hangs = client_of(replica), True

    async def first_of(budget_s: float) -> Any:
        async with asyncio.timeout(budget_s):
            return await anext(client.stream_call("stream", 1, context=within(60)))

    outcomes = [await caught(first_of(0.05)) for _ in range(4)]

    assert outcomes == [TimeoutError] * 3 + [BreakerOpenError]


async def test_a_question_whose_replica_died_is_sent_to_another_once() -> None:
    replica = Replica()
    client, replica.deaths_left = client_of(replica), 1

    assert await client.call("work", 7, context=within(5)) == 7
    assert replica.num_calls == 2

    replica.deaths_left = 2
    assert await caught(client.call("work", 7, context=within(5))) == StageUnavailableError
    assert replica.num_calls == 4


async def test_ingestion_whose_replica_died_is_not_sent_again() -> None:
    replica = Replica()
    client, replica.deaths_left = client_of(replica), 1

    outcome = await caught(client.call("work", 7, context=replace(within(5), priority=BACKGROUND_PRIORITY)))

    assert outcome == StageUnavailableError
    assert replica.num_calls == 1
