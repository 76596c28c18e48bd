"""A stage's breaker: what opens it, what a question costs while it is open, and what closes it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from deployments.calls.client import StageClient
from deployments.calls.inline import InlineHandle
from deployments.calls.stage_breaker import WARM_S, StageBreaker, StageBreakerConfig
from deployments.calls.waiting_calls import TICK_S, Repeat
from models.breaker import worst
from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.requests import InvalidRequestError
from models.errors.stages import BreakerOpenError, DeadlineExceededError, InternalError, StageUnavailableError
from models.errors.storage import DatabaseUnavailableError, VectorDatabaseUnavailableError
from models.stage_status import StageStatus
from models.types.request_context import BACKGROUND_PRIORITY
from tests.contexts import within
from tests.patience import PATIENCE_S

CONFIG = StageBreakerConfig(failures=3, open_s=10, min_budget_s=3, silence_s=4)
LATE = DeadlineExceededError("probe", 10.0)
LONG_S = 3600.0  # the tests move a clock of their own, so no call is late by itself


class Replica:
    """A stage in this process whose calls and status a test stops."""

    def __init__(self) -> None:
        self.hangs, self.has_status, self.is_busy, self.deaths_left = False, True, False, 0
        self.num_calls = self.num_cancelled = self.num_asked = 0
        self.may_answer = asyncio.Event()

    async def work(self, number: int) -> int:
        self.num_calls += 1
        if self.hangs:
            await self._hang()
        if self.deaths_left:
            self.deaths_left -= 1
            raise StageUnavailableError("probe")
        return number

    async def work_batch(self, numbers: list[int], envelopes: list[Any]) -> list[int]:
        return [await self.work(number) for number in numbers]

    async def stream(self, number: int) -> Any:
        self.num_calls += 1
        if self.hangs:
            await self._hang()
        yield number

    async def status(self, *_: object) -> StageStatus:
        self.num_asked += 1
        if self.is_busy:
            raise OverloadedError("probe")
        if not self.has_status:
            raise StageUnavailableError("probe")
        return StageStatus("model")

    async def _hang(self) -> None:
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise


class Remote(InlineHandle):
    """A replica whose calls share messages."""

    @property
    def is_inline(self) -> bool:
        return False


class Clock:
    """The time of a breaker: timers run when a test lets it pass."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> object:
        self.timers.append((self.now + delay_s, callback))
        return self.timers[-1]

    async def advance(self, seconds: float, step_s: float = TICK_S) -> None:
        """In steps. After each, what can go on goes on."""
        end = self.now + seconds
        while self.now < end:
            self.now += step_s
            due = [callback for at, callback in self.timers if at <= self.now]
            self.timers = [timer for timer in self.timers if timer[0] > self.now]
            for callback in due:
                callback()
            await settle()


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


class Scene:
    """A client of a replica, with a breaker whose clock stands still."""

    def __init__(self, config: StageBreakerConfig = CONFIG, kind: type[InlineHandle] = InlineHandle) -> None:
        self.replica, self.clock = Replica(), Clock()
        self.client = StageClient(kind(self.replica, {}), "probe")
        self.breaker = self.client.breaker = StageBreaker(
            "probe", self.replica.status, config, lambda: self.clock.now, self.clock.call_later
        )

    def begin(self, number: int = 1, priority: int | None = None, shared: bool = False) -> asyncio.Task[Any]:
        context = within(LONG_S) if priority is None else replace(within(LONG_S), priority=priority)
        if shared:
            return asyncio.ensure_future(self.client.shared_call("work_batch", number, context))
        return asyncio.ensure_future(self.client.call("work", number, context=context))

    async def ask(self) -> Any:
        """The answer to a question, or the type of its error; None if it still waits."""
        task = self.begin()
        await settle()
        if not task.done():
            return None
        return type(task.exception()) if task.exception() else task.result()

    def stop(self, has_status: bool = False) -> None:
        self.replica.hangs, self.replica.has_status = True, has_status

    def resume(self) -> None:
        self.replica.hangs, self.replica.has_status = False, True
        self.replica.may_answer.set()

    async def fail(
        self,
        times: int = 1,
        error: RagError = LATE,
        budget_s: float = 10,
        waited_s: float = 10,
        repeat: Repeat | None = None,
    ) -> None:
        """Calls that end so, one after the other. The status is not asked meanwhile."""
        for _ in range(times):
            call = self.breaker.admit(budget_s, repeat or self._repeat)
            self.clock.now += waited_s
            self.breaker.failed(call, error)

    async def _repeat(self, budget_s: float) -> int:
        return await self.replica.work(1)


async def errors_of(tasks: list[asyncio.Task[Any]]) -> list[Any]:
    return [type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)]


async def test_three_late_answers_in_a_row_open_it() -> None:
    scene = Scene()

    await scene.fail(2)
    assert await scene.ask() == 1
    await scene.fail(2)
    assert scene.breaker.state == "closed"

    await scene.fail(1)
    assert scene.breaker.state == "open"
    assert await scene.ask() == BreakerOpenError


@pytest.mark.parametrize(
    ("error", "budget_s", "waited_s"),
    [
        (LATE, 2.9, 2.9),  # a client's short deadline
        (StageUnavailableError("probe"), 5, 0.1),  # it costs nothing
        (OverloadedError("probe"), 5, 5),
        (InternalError("probe"), 5, 5),
        (VectorDatabaseUnavailableError(), 5, 5),  # which the replica leaves alone by itself
        (DatabaseUnavailableError("it does not answer"), 5, 5),
        (InvalidRequestError("too long"), 5, 5),
    ],
)
async def test_what_says_nothing_about_the_next_question_opens_nothing(
    error: Any, budget_s: float, waited_s: float
) -> None:
    scene = Scene()

    await scene.fail(10, error, budget_s, waited_s)

    assert scene.breaker.state == "closed"


async def test_late_calls_of_a_busy_stage_open_nothing() -> None:
    scene = Scene()
    for _ in range(10):
        call = scene.breaker.admit(10, scene._repeat)
        scene.clock.now += 5
        assert await scene.ask() == 1  # another question's answer
        scene.clock.now += 5
        scene.breaker.failed(call, LATE)

    assert scene.breaker.state == "closed"


@pytest.mark.parametrize("shared", [False, True])
async def test_a_stage_that_falls_silent_ends_the_calls_that_wait_and_costs_the_next_ones_nothing(shared: bool) -> None:
    scene, before = Scene(kind=Remote), open_breakers()
    assert await scene.ask() == 1
    scene.stop()

    calls = [scene.begin(number, shared=shared) for number in range(5)]
    await scene.clock.advance(3.5)
    assert not any(call.done() for call in calls)
    await scene.clock.advance(1.0)

    assert await errors_of(calls) == [BreakerOpenError] * 5
    assert scene.replica.num_cancelled >= 1
    num_calls = scene.replica.num_calls
    assert [await scene.ask() for _ in range(5)] == [BreakerOpenError] * 5
    assert scene.replica.num_calls == num_calls
    assert (scene.breaker.state, open_breakers()) == ("open", before + 1)


async def test_one_call_after_the_other_opens_it_too_though_each_client_leaves_early() -> None:
    scene = Scene()
    assert await scene.ask() == 1
    scene.stop()

    for _ in range(5):
        call = scene.begin()
        await scene.clock.advance(1)
        call.cancel()

    assert scene.breaker.state == "open"


async def test_a_silent_stream_ends_and_one_that_has_begun_goes_on() -> None:
    scene = Scene()
    begun = scene.client.stream_call("stream", 1, context=within(LONG_S))
    assert await anext(begun) == 1
    scene.stop()

    silent = asyncio.ensure_future(anext(scene.client.stream_call("stream", 2, context=within(LONG_S))))
    await scene.clock.advance(9)
    assert not silent.done()
    await scene.clock.advance(3)

    assert await errors_of([silent]) == [BreakerOpenError]
    assert [item async for item in begun] == []


async def test_a_first_call_waits_for_a_model_that_warms_up_or_a_replica_that_starts() -> None:
    scene = Scene()
    scene.stop()

    call = scene.begin()
    await scene.clock.advance(60)
    scene.resume()

    assert await call == 1
    assert scene.breaker.state == "closed"


async def test_so_does_a_call_to_a_stage_that_was_scaled_to_zero() -> None:
    scene = Scene()
    assert await scene.ask() == 1
    scene.stop()
    scene.clock.now += WARM_S + 1

    call = scene.begin()
    await scene.clock.advance(60)
    scene.resume()

    assert await call == 1


async def test_a_swap_or_long_work_under_way_opens_nothing_while_the_status_is_answered() -> None:
    scene = Scene()
    assert await scene.ask() == 1
    scene.stop(has_status=True)

    call = scene.begin()
    await scene.clock.advance(60)
    scene.resume()

    assert scene.replica.num_asked > 1
    assert await call == 1


@pytest.mark.parametrize("priority", [None, BACKGROUND_PRIORITY])
async def test_a_busy_stage_whose_status_waits_in_its_queue_is_not_silent(priority: int | None) -> None:
    scene = Scene()
    assert await scene.ask() == 1
    scene.stop()
    waiting = scene.begin()
    for number in range(20):
        await scene.clock.advance(3)
        scene.replica.hangs = False
        assert await scene.begin(number, priority) == number
        scene.replica.hangs = True
    scene.resume()

    assert await waiting == 1
    assert scene.breaker.state == "closed"


async def test_a_status_that_a_full_queue_refuses_is_an_answer() -> None:
    scene = Scene()
    assert await scene.ask() == 1
    scene.stop()
    scene.replica.is_busy = True

    call = scene.begin()
    await scene.clock.advance(60)
    scene.resume()

    assert await call == 1


async def test_a_caller_that_got_no_core_for_a_minute_has_not_listened() -> None:
    scene = Scene()
    assert await scene.ask() == 1
    scene.stop()

    call = scene.begin()
    await scene.clock.advance(180, step_s=60)
    scene.resume()

    assert await call == 1
    assert scene.breaker.state == "closed"


async def test_after_a_late_call_the_next_ones_wait_less() -> None:
    scene = Scene()
    assert await scene.ask() == 1
    scene.stop(has_status=True)
    await scene.fail(1)

    call = scene.begin()
    await scene.clock.advance(3)
    assert not call.done()
    await scene.clock.advance(1)

    assert await errors_of([call]) == [DeadlineExceededError]
    assert scene.breaker.state == "closed"
    assert await scene.ask() is None
    await scene.clock.advance(4)
    assert scene.breaker.state == "open"


async def test_but_not_less_than_several_times_what_a_slow_stage_takes() -> None:
    scene = Scene()
    slow = scene.breaker.admit(10, scene._repeat)
    scene.clock.now += 5
    scene.breaker.answered(slow)
    scene.stop(has_status=True)
    await scene.fail(1)

    call = scene.begin()
    await scene.clock.advance(19)
    assert not call.done()
    scene.resume()

    assert await call == 1


async def test_a_dead_stage_costs_no_question_and_is_back_before_the_next_one() -> None:
    scene = Scene()
    assert await scene.ask() == 1
    scene.stop()
    call = scene.begin()
    await scene.clock.advance(5)
    assert await errors_of([call]) == [BreakerOpenError]

    num_calls, before = scene.replica.num_calls, scene.replica.num_asked
    for _ in range(60):
        assert await scene.ask() == BreakerOpenError
        await scene.clock.advance(1)
    assert scene.replica.num_calls == num_calls
    assert 50 <= scene.replica.num_asked - before <= 61  # once a second, beside the questions

    scene.resume()
    await scene.clock.advance(2)

    assert scene.breaker.state == "closed"
    assert scene.replica.num_calls == num_calls + 1  # the trial
    assert await scene.ask() == 1


async def test_a_stage_that_answers_its_status_alone_costs_no_question_and_is_tried_in_every_pause() -> None:
    scene, states = Scene(), set()
    scene.stop(has_status=True)
    await scene.fail(3)
    num_calls = scene.replica.num_calls

    for _ in range(120):
        assert await scene.ask() == BreakerOpenError
        await scene.clock.advance(0.5)
        states.add(scene.breaker.state)

    assert scene.replica.num_calls == num_calls + 1  # which still waits
    assert states == {"open", "half_open"}
    scene.resume()
    await scene.clock.advance(0.5)
    assert scene.breaker.state == "closed"


@pytest.mark.parametrize("error", [LATE, OverloadedError("probe"), StageUnavailableError("probe")])
async def test_a_trial_that_fails_is_followed_by_a_later_call_after_a_pause(error: RagError) -> None:
    scene, tried = Scene(), list[tuple[int, float]]()

    def repeated(number: int) -> Repeat:
        async def repeat(budget_s: float) -> None:
            tried.append((number, budget_s))
            raise error

        return repeat

    for number in range(3):
        await scene.fail(1, repeat=repeated(number))
    await scene.clock.advance(60)
    assert tried == [(2, 10)]  # no call twice, though nobody asks: it may be what kills the replica

    for number, budget_s in ((3, 10.0), (4, 0.2), (5, 8.0), (6, 0.2)):  # two clients had short deadlines
        with pytest.raises(BreakerOpenError):
            scene.breaker.admit(budget_s, repeated(number))
    await scene.clock.advance(60)
    assert tried == [(2, 10), (5, 8)]
    with pytest.raises(BreakerOpenError):
        scene.breaker.admit(0.2, repeated(7))
    await scene.clock.advance(12)
    assert tried == [(2, 10), (5, 8), (7, CONFIG.min_budget_s)]
    assert scene.breaker.state == "open"


async def test_a_fallback_that_leaves_the_stage_little_time_opens_it_and_leaves_a_trial() -> None:
    scene = Scene()
    for _ in range(3):
        await scene.fail(1, budget_s=2, waited_s=2)
        scene.breaker.cut_short(LATE, 2, 5)
    assert scene.breaker.state == "open"

    await scene.clock.advance(12)
    assert scene.breaker.state == "closed"


@pytest.mark.parametrize(
    "error", [InvalidRequestError("too long"), InternalError("probe"), VectorDatabaseUnavailableError()]
)
async def test_a_trial_that_is_refused_is_an_answer(error: RagError) -> None:
    scene = Scene()

    async def repeat(budget_s: float) -> None:
        raise error

    await scene.fail(3, repeat=repeat)
    await scene.clock.advance(15)

    assert scene.breaker.state == "closed"


async def test_a_reader_that_leaves_a_silent_stream_late_tells_of_a_failure() -> None:
    scene = Scene()

    for waited_s, state in ((19.0, "closed"), (20.0, "open")):
        for _ in range(3):
            call = scene.breaker.admit(60, scene._repeat, is_stream=True)
            scene.clock.now += waited_s
            scene.breaker.left(call)
        assert scene.breaker.state == state


async def test_a_caller_that_leaves_as_its_call_is_released_is_cancelled() -> None:
    scene = Scene()
    scene.stop()
    task = scene.begin()
    await settle()

    for call in scene.breaker._waiting.all():
        call.release(LATE)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_caller_with_a_timeout_of_its_own_goes_on_after_a_release() -> None:
    scene = Scene()
    assert await scene.ask() == 1
    scene.stop()

    async def patient() -> str:
        async with asyncio.timeout(LONG_S):
            try:
                await scene.client.call("work", 1, context=within(LONG_S))
            except BreakerOpenError:
                await asyncio.sleep(0)
                return "answered without it"
        return "answered with it"

    task = asyncio.ensure_future(patient())
    await scene.clock.advance(5)

    assert await task == "answered without it"
    assert task.cancelling() == 0


async def test_nothing_ticks_while_no_call_waits() -> None:
    scene = Scene()
    assert await scene.ask() == 1
    assert len(scene.clock.timers) == 1

    await scene.clock.advance(1)

    assert scene.clock.timers == []


async def test_switched_off_it_is_closed_at_once_and_opens_no_more() -> None:
    scene, before = Scene(), open_breakers()
    assert await scene.ask() == 1
    scene.stop()
    await scene.fail(3)
    assert (scene.breaker.state, open_breakers()) == ("open", before + 1)

    scene.breaker.configure(CONFIG.model_copy(update={"enabled": False}))
    assert (scene.breaker.state, open_breakers()) == ("closed", before)
    question = scene.begin()
    await scene.fail(3)
    await scene.clock.advance(60)

    assert not question.done()
    assert (scene.breaker.state, open_breakers()) == ("closed", before)


async def test_switched_on_again_it_counts_from_the_start() -> None:
    scene, before = Scene(), open_breakers()
    scene.stop()
    await scene.fail(3)
    scene.breaker.configure(CONFIG.model_copy(update={"enabled": False}))
    await scene.fail(3)

    scene.breaker.configure(CONFIG)
    await scene.fail(2)
    assert (scene.breaker.state, open_breakers()) == ("closed", before)
    await scene.fail(1)
    assert (scene.breaker.state, open_breakers()) == ("open", before + 1)

    scene.resume()
    await scene.clock.advance(12)
    assert (scene.breaker.state, open_breakers()) == ("closed", before)


@pytest.mark.parametrize(("num_failures", "state"), [(3, "open"), (2, "closed")])
@pytest.mark.parametrize("failures", [1, 2, 5])
async def test_another_number_of_failures_neither_opens_nor_closes_it(
    num_failures: int, state: str, failures: int
) -> None:
    scene, num_open = Scene(), open_breakers()
    scene.stop()
    await scene.fail(num_failures)
    is_open = open_breakers() - num_open

    scene.breaker.configure(CONFIG.model_copy(update={"failures": failures}))
    assert (scene.breaker.state, is_open) == (state, state == "open")

    scene.resume()
    await scene.ask()
    await scene.clock.advance(12)
    assert (scene.breaker.state, open_breakers()) == ("closed", num_open)


async def test_work_in_the_background_passes_an_open_breaker_and_is_not_released() -> None:
    scene = Scene()
    assert await scene.ask() == 1
    scene.stop()
    ingestion = scene.begin(7, BACKGROUND_PRIORITY)
    question = scene.begin()
    await scene.clock.advance(5)

    assert await errors_of([question]) == [BreakerOpenError]
    assert not ingestion.done()
    scene.resume()
    assert await ingestion == 7
    assert await scene.begin(8, BACKGROUND_PRIORITY) == 8


def test_a_stage_is_as_open_as_its_worst_shard() -> None:
    assert worst(["closed", "half_open", "closed"]) == "half_open"
    assert worst(["half_open", "open"]) == "open"
    assert worst([]) == "closed"


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


async def until_refused(call: Callable[[], Awaitable[Any]]) -> list[Any]:
    """The outcomes before the breaker opens. On a starved machine a call may have too little time to count."""
    outcomes = list[Any]()
    async with asyncio.timeout(PATIENCE_S):
        while not outcomes or outcomes[-1] != BreakerOpenError:
            outcomes.append(await caught(call()))
    return outcomes[:-1]


async def test_by_the_event_loops_own_clock_a_hung_stage_is_left_alone_and_comes_back() -> None:
    replica, before = Replica(), open_breakers()
    client, replica.hangs, replica.has_status = client_of(replica), True, False

    late = await until_refused(lambda: client.call("work", 1, context=within(0.1)))
    num_calls = replica.num_calls
    refused = [await caught(client.call("work", 1, context=within(0.1))) for _ in range(3)]

    assert set(late) == {DeadlineExceededError}
    assert len(late) >= 3
    assert (refused, replica.num_calls) == ([BreakerOpenError] * 3, num_calls)
    assert open_breakers() == before + 1

    replica.hangs, replica.has_status = False, True
    async with asyncio.timeout(PATIENCE_S):
        while client.breaker.state != "closed":  # noqa: ASYNC110, by its own trial
            await asyncio.sleep(0.01)
    assert await client.call("work", 1, context=within(LONG_S)) == 1
    assert open_breakers() == before


async def test_late_work_in_the_background_opens_nothing() -> None:
    replica = Replica()
    client, replica.hangs = client_of(replica), True
    ingestion = replace(within(0.3), priority=BACKGROUND_PRIORITY)

    outcomes = [await caught(client.call("work", 1, context=ingestion)) for _ in range(4)]

    assert outcomes == [DeadlineExceededError] * 4
    assert client.breaker.state == "closed"


async def test_streams_that_never_begin_open_it_and_the_next_one_fails_at_once() -> None:
    replica = Replica()
    client, replica.hangs = client_of(replica), True

    async def first_of(budget_s: float) -> Any:
        async with asyncio.timeout(budget_s):
            return await anext(client.stream_call("stream", 1, context=within(60)))

    late = await until_refused(lambda: first_of(0.05))

    assert set(late) == {TimeoutError}
    assert len(late) >= 3


async def test_a_question_whose_replica_died_is_sent_to_another_once() -> None:
    replica = Replica()
    client, replica.deaths_left = client_of(replica), 1

    assert await client.call("work", 7, context=within(PATIENCE_S)) == 7
    assert replica.num_calls == 2

    replica.deaths_left = 2
    assert await caught(client.call("work", 7, context=within(PATIENCE_S))) == StageUnavailableError
    assert replica.num_calls == 4


async def test_ingestion_whose_replica_died_is_not_sent_again() -> None:
    replica = Replica()
    client, replica.deaths_left = client_of(replica), 1

    outcome = await caught(client.call("work", 7, context=replace(within(PATIENCE_S), priority=BACKGROUND_PRIORITY)))

    assert outcome == StageUnavailableError
    assert replica.num_calls == 1
