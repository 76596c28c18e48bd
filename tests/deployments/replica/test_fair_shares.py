"""Fair shares in every stage's queue: what one tenant queues delays another by its share at most."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress

import numpy as np
import pytest

from deployments.calls.envelope import Envelope
from deployments.replica.fair_shares import FairShares, FairTurns, Flow
from deployments.replica.message_batcher import MessageBatcher
from deployments.replica.token_batcher import TokenBatcher
from deployments.replica.user_config import BatchedStageConfig, TokenBatchedConfig
from models.deadline import Deadline
from models.errors.limits import OverloadedError
from models.generation.base import EngineActivity
from models.tokens.encoding import Encoding
from models.types.request_context import BACKGROUND_PRIORITY
from tests.patience import PATIENCE_S

BUSY, QUIET = Flow("busy"), Flow("quiet")


async def turns_until(is_so: Callable[[], bool]) -> None:
    """Wait for what the event loop alone does."""
    for _ in range(1_000):
        if is_so():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come")


def served(shares: FairShares, flows: Sequence[Flow], number: int) -> list[Flow]:
    """The order in which flows with endless work of cost 1 are served."""
    order = []
    for _ in range(number):
        flow = shares.next_of(flows)
        shares.begin(flow)
        shares.charge(flow, 1)
        order.append(flow)
    return order


def test_tenants_get_equal_shares_and_background_work_a_quarter() -> None:
    background = Flow.of(Envelope("r", "busy", 1.0, BACKGROUND_PRIORITY))

    order = served(FairShares(), [BUSY, QUIET, background], 90)

    assert [order.count(flow) for flow in (BUSY, QUIET, background)] == [40, 40, 10]


def test_an_idle_tenant_comes_next_and_has_saved_nothing_up() -> None:
    shares = FairShares()
    served(shares, [BUSY], 100)

    order = served(shares, [BUSY, QUIET], 10)

    assert order[0] == QUIET
    assert order.count(QUIET) == 5


def test_the_ends_of_idle_flows_are_dropped() -> None:
    shares = FairShares()

    served(shares, [Flow(str(number)) for number in range(5_000)], 5_000)
    served(shares, [BUSY], 5_000)
    served(shares, [Flow(f"later-{number}") for number in range(5_000)], 5_000)

    assert len(shares._ends) < 10_001


class Noting:
    """Notes the first id of each item of each pass. Passes wait for `gate`."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []
        self.gate, self.begun = threading.Event(), threading.Event()

    def forward(self, batch: Sequence[Encoding]) -> list[int]:
        self.passes.append([int(encoding.ids[0]) for encoding in batch])
        self.begun.set()
        assert self.gate.wait(PATIENCE_S)
        return [0] * len(batch)


@pytest.fixture
def batcher() -> Iterator[TokenBatcher]:
    made = TokenBatcher("rerank", TokenBatchedConfig(max_batch_tokens=64, max_queued_tokens=40_000))
    yield made
    made.close()


def queue(batcher: TokenBatcher, model: Noting, flow: Flow, first: int, *lengths: int) -> "asyncio.Task[list[int]]":
    """A call whose encodings have these lengths, and `first` as their first id."""
    encodings = [Encoding(np.array([first] + [0] * (length - 1), np.int32)) for length in lengths]
    return asyncio.create_task(batcher.run(model, encodings, Deadline.after(PATIENCE_S), flow=flow))


async def queued(batcher: TokenBatcher, num_tokens: int) -> None:
    await turns_until(lambda: batcher.num_queued_tokens >= num_tokens)


async def test_a_question_waits_for_the_pass_under_way_alone(batcher: TokenBatcher) -> None:
    model = Noting()
    busy = [queue(batcher, model, BUSY, 1, 16) for _ in range(500)]
    assert await asyncio.to_thread(model.begun.wait, PATIENCE_S)
    await queued(batcher, 16 * 496)
    quiet = queue(batcher, model, QUIET, 2, 16)
    await queued(batcher, 16 * 497)

    model.gate.set()
    await asyncio.gather(quiet, *busy)

    assert 2 in model.passes[1]


async def test_tenants_with_equal_calls_take_turns(batcher: TokenBatcher) -> None:
    model = Noting()
    busy = [queue(batcher, model, BUSY, 1, *[16] * 10) for _ in range(100)]
    assert await asyncio.to_thread(model.begun.wait, PATIENCE_S)
    quiet = [queue(batcher, model, QUIET, 2, *[16] * 10) for _ in range(5)]
    await queued(batcher, 16 * (1_000 - 4 + 50))

    model.gate.set()
    await asyncio.gather(*quiet, *busy)

    last = max(place for place, items in enumerate(model.passes) if 2 in items)
    assert sum(items.count(1) for items in model.passes[: last + 1]) <= 50 + 3 * 4


async def test_what_room_a_pass_has_left_goes_to_other_tenants(batcher: TokenBatcher) -> None:
    model = Noting()
    first = queue(batcher, model, BUSY, 0, 16)
    assert await asyncio.to_thread(model.begun.wait, PATIENCE_S)
    calls = [queue(batcher, model, Flow(str(number)), number, 16) for number in range(1, 9)]
    await queued(batcher, 16 * 8)

    model.gate.set()
    await asyncio.gather(first, *calls)

    assert model.passes == [[0], [1, 2, 3, 4], [5, 6, 7, 8]]


async def test_a_full_queue_has_room_for_a_tenant_below_its_share(batcher: TokenBatcher) -> None:
    batcher.configure(TokenBatchedConfig(max_batch_tokens=64, max_queued_tokens=1_024))
    model = Noting()
    busy = [queue(batcher, model, BUSY, 1, 64)]
    assert await asyncio.to_thread(model.begun.wait, PATIENCE_S)
    busy += [queue(batcher, model, BUSY, 1, 64) for _ in range(16)]
    await queued(batcher, 1_024)

    quiet = [queue(batcher, model, QUIET, 2, 64) for _ in range(8)]
    await queued(batcher, 1_024 + 8 * 64)
    for flow in (BUSY, QUIET):
        with pytest.raises(OverloadedError):
            await queue(batcher, model, flow, 3, 64)

    model.gate.set()
    await asyncio.gather(*quiet, *busy)


async def test_searches_take_turns_if_more_wait_than_a_batch_takes() -> None:
    gate, batches = asyncio.Event(), list[list[int]]()

    async def answer_all(messages: list[list[int]]) -> list[list[int]]:
        batches.append([item for message in messages for item in message])
        await gate.wait()
        return messages

    batcher = MessageBatcher(answer_all, "search")
    batcher.configure(BatchedStageConfig(max_batch_size=4))
    busy = [asyncio.ensure_future(batcher.answers([1], [BUSY])) for _ in range(100)]
    await turns_until(lambda: bool(batches))
    quiet = [asyncio.ensure_future(batcher.answers([2, 3], [QUIET, BUSY])) for _ in range(2)]
    await asyncio.sleep(0)

    gate.set()
    await asyncio.gather(*quiet, *busy)

    assert batches[0] == [1] * 4
    assert sum(items.count(2) for items in batches[1:3]) == 2


class Turns:
    """Requests to an engine that runs seven at once, with one to spare."""

    def __init__(self, max_waiting: int | None = None) -> None:
        self.turns, self.engine = FairTurns("generate"), EngineActivity(max_running=7, max_waiting=max_waiting)
        self.begun: list[Flow] = []
        self.ends: list[asyncio.Event] = []

    async def request(self, flow: Flow) -> None:
        async with self.turns.engine_turn(flow, self.engine):
            end = asyncio.Event()
            self.begun.append(flow)
            self.ends.append(end)
            await end.wait()

    async def start(self, *flows: Flow) -> "list[asyncio.Task[None]]":
        tasks = [asyncio.create_task(self.request(flow)) for flow in flows]
        await asyncio.sleep(0)
        return tasks

    async def end(self, place: int) -> None:
        num_begun = len(self.begun)
        self.ends[place].set()
        await turns_until(lambda: len(self.begun) > num_begun)


@pytest.fixture
async def started() -> AsyncIterator[list["asyncio.Task[None]"]]:
    tasks: list[asyncio.Task[None]] = []
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_the_next_place_of_an_engine_goes_to_the_tenant_that_has_none(
    started: "list[asyncio.Task[None]]",
) -> None:
    turns = Turns()
    started += await turns.start(*[BUSY] * 40)
    assert turns.begun == [BUSY] * 8
    started += await turns.start(QUIET)

    await turns.end(0)

    assert turns.begun[8:] == [QUIET]


async def test_who_leaves_the_queue_of_an_engine_takes_no_place(started: "list[asyncio.Task[None]]") -> None:
    turns = Turns()
    started += await turns.start(*[BUSY] * 9)
    (leaving,) = await turns.start(QUIET)
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving

    await turns.end(0)

    assert turns.begun == [BUSY] * 9
    assert turns.turns.num_running == 8


async def test_a_full_queue_of_an_engine_refuses_who_is_above_the_share(started: "list[asyncio.Task[None]]") -> None:
    turns = Turns(max_waiting=4)
    started += await turns.start(*[BUSY] * 12)
    with pytest.raises(OverloadedError):
        await turns.request(BUSY)

    started += await turns.start(QUIET, QUIET)

    with pytest.raises(OverloadedError):
        await turns.request(QUIET)


async def test_an_engine_without_a_queue_limits_nothing(started: "list[asyncio.Task[None]]") -> None:
    turns = Turns(max_waiting=0)

    started += await turns.start(*[BUSY] * 40)

    assert len(turns.begun) == 40
