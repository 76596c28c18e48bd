"""StageClient against real replicas: the traps of Ray's handles, each sprung once."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio

from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.requests import InvalidRequestError
from models.errors.stages import DeadlineExceededError, InternalError
from tests.contexts import assert_arrived, of_two_tenants, within
from tests.patience import PATIENCE_S
from tests.probe import Probe

# One event loop for all: a handle belongs to the loop that made it.
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(cluster: None) -> Any:
    from ray import serve

    from deployments.calls.client import StageClient
    from deployments.calls.ray_handle import RayHandle

    deployment = serve.deployment(
        Probe, max_ongoing_requests=2, max_queued_requests=1, ray_actor_options={"num_cpus": 0.1}
    )
    handle = serve.run(deployment.bind(), name="probe", route_prefix=None)
    return StageClient(RayHandle(handle), "probe")


async def until(condition: Any, limit_s: float = PATIENCE_S) -> None:
    """Returns when `condition` holds; fails after `limit_s`."""
    async with asyncio.timeout(limit_s):
        while not await condition():  # noqa: ASYNC110, the condition is in another process
            await asyncio.sleep(0.01)


async def number(client: Any, name: str) -> int:
    return int(await client.call(name, context=within(PATIENCE_S)))


async def long_call(client: Any) -> asyncio.Task[Any]:
    """A call that is at the replica. The queue has one place: this call or a question for the number may be refused."""
    before = await number(client, "num_begun")
    async with asyncio.timeout(PATIENCE_S):
        while True:
            call = asyncio.create_task(client.call("wait", 2 * PATIENCE_S, context=within(PATIENCE_S)))
            while not call.done():
                await asyncio.sleep(0.1)
                with suppress(OverloadedError):
                    if await number(client, "num_begun") > before:
                        return call
            with pytest.raises(OverloadedError):
                call.result()


async def begun_in_time(client: Any, call: Callable[[float], Awaitable[None]]) -> None:
    """Make a call that is late, with ever more time: on a busy machine its time may end before it is at the replica."""
    before, budget_s = await number(client, "num_begun"), 0.2
    while await number(client, "num_begun") == before:
        await call(budget_s)
        budget_s *= 2


async def test_timeout_cancels_the_replica(client: Any) -> None:
    before = await number(client, "num_cancelled")

    async def call(budget_s: float) -> None:
        with pytest.raises(DeadlineExceededError, match="the probe stage did not answer within"):
            await client.call("wait", 2 * PATIENCE_S, context=within(budget_s))

    await begun_in_time(client, call)

    async def cancelled() -> bool:
        return await number(client, "num_cancelled") > before

    await until(cancelled)


async def test_a_cancelled_caller_cancels_the_replica(client: Any) -> None:
    before = await client.call("num_cancelled", context=within(PATIENCE_S))
    call = await long_call(client)

    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    async def cancelled() -> bool:
        return await client.call("num_cancelled", context=within(PATIENCE_S)) > before

    await until(cancelled)


async def test_concurrent_shared_calls_arrive_as_one_message(client: Any) -> None:
    before = await client.call("message_sizes", context=within(PATIENCE_S))

    waits = [0.0, 0.01, -1.0, 0.02]
    answers = await asyncio.gather(
        *(client.shared_call("wait_all", wait, within(PATIENCE_S)) for wait in waits), return_exceptions=True
    )

    assert answers[:2] + answers[3:] == [0.0, 0.01, 0.02]
    assert isinstance(answers[2], InvalidRequestError)
    assert await client.call("message_sizes", context=within(PATIENCE_S)) == [*before, 4]


async def test_an_envelope_arrives_whole_beside_each_item_of_a_message(client: Any) -> None:
    before, contexts = await client.call("message_sizes", context=within(PATIENCE_S)), of_two_tenants()

    calls = (client.shared_call("envelopes_of", number, context) for number, context in enumerate(contexts))

    assert_arrived(await asyncio.gather(*calls), contexts)
    assert await client.call("message_sizes", context=within(PATIENCE_S)) == [*before, 2]


async def test_a_message_that_nobody_waits_for_is_cancelled_at_the_replica(client: Any) -> None:
    before = await client.call("num_cancelled", context=within(PATIENCE_S))

    async def call(budget_s: float) -> None:
        late = await asyncio.gather(
            *(client.shared_call("wait_all", 2 * PATIENCE_S, within(budget_s)) for _ in range(2)),
            return_exceptions=True,
        )
        assert [type(error) for error in late] == [DeadlineExceededError] * 2

    await begun_in_time(client, call)

    async def cancelled() -> bool:
        return await client.call("num_cancelled", context=within(PATIENCE_S)) > before

    await until(cancelled)


async def test_leaving_a_stream_cancels_the_replica(client: Any) -> None:
    before = await client.call("num_cancelled", context=within(PATIENCE_S))
    stream = client.stream_call("count", 100_000, context=within(PATIENCE_S))

    numbers = [await anext(stream) for _ in range(3)]
    await stream.aclose()

    async def cancelled() -> bool:
        return await client.call("num_cancelled", context=within(PATIENCE_S)) > before

    assert numbers == [0, 1, 2]
    await until(cancelled)


async def test_a_stream_past_its_deadline_is_an_error(client: Any) -> None:
    with pytest.raises(DeadlineExceededError):
        async for _ in client.stream_call("count", 100_000, context=within(0.3)):
            pass


async def test_a_whole_stream_arrives(client: Any) -> None:
    assert [item async for item in client.stream_call("count", 5, context=within(PATIENCE_S))] == [0, 1, 2, 3, 4]


async def test_our_error_crosses_a_handle_as_itself(client: Any) -> None:
    with pytest.raises(RagError) as caught:
        await client.call("refuse", context=within(PATIENCE_S))

    # No remote traceback, pid or address in what a user may see.
    assert type(caught.value) is InvalidRequestError
    assert str(caught.value) == "the text is empty"
    assert caught.value.__cause__ is None


async def test_our_error_inside_a_stream_comes_after_what_was_yielded(client: Any) -> None:
    stream = client.stream_call("refuse_in_stream", context=within(PATIENCE_S))

    assert await anext(stream) == 1
    with pytest.raises(InvalidRequestError, match="no more"):
        await anext(stream)


async def test_a_bug_in_a_replica_shows_nothing_of_its_inside(client: Any) -> None:
    with pytest.raises(InternalError) as caught:
        await client.call("break_down", context=within(PATIENCE_S))

    assert "division" not in str(caught.value)
    assert "pid" not in str(caught.value)


async def test_a_full_queue_is_an_overload(client: Any) -> None:
    calls = [client.call("wait", 0.5, context=within(PATIENCE_S)) for _ in range(12)]

    results = await asyncio.gather(*calls, return_exceptions=True)

    overloads = [result for result in results if isinstance(result, OverloadedError)]
    assert overloads
    assert len(overloads) + results.count(0.5) == 12
    assert overloads[0].retry_after_s == 1.0
