"""A stage inside its caller's process behaves as one behind a handle: the same client, errors and end."""

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY

from deployments.calls.client import StageClient
from deployments.calls.inline import InlineHandle, InlineStage
from models.errors.requests import InvalidRequestError
from models.errors.stages import DeadlineExceededError, InternalError
from models.stage_status import StageStatus
from tests.contexts import TRACEPARENT, assert_arrived, of_two_tenants, within
from tests.patience import PATIENCE_S
from tests.probe import Probe


@pytest.fixture
async def client() -> StageClient:
    return StageClient(InlineStage(Probe, (), {}).open(), "probe")


async def cancelled(client: StageClient) -> int:
    return await client.call("num_cancelled", context=within(10))


async def test_a_call_is_answered_without_ray(client: StageClient) -> None:
    assert await client.call("wait", 0.0, context=within(10)) == 0.0


async def test_no_call_waits_to_share_a_message_that_costs_nothing(client: StageClient) -> None:
    calls = (client.shared_call("wait_all", 0.0, within(10)) for _ in range(3))

    assert await asyncio.gather(*calls) == [0.0, 0.0, 0.0]
    assert await client.call("message_sizes", context=within(10)) == [1, 1, 1]


class Reporting(Probe):
    """A replica with a status."""

    async def status(self) -> StageStatus:
        return StageStatus("probe-model")


async def test_a_probe_is_no_call_of_the_metrics() -> None:
    client = StageClient(InlineStage(Reporting, (), {}).open(), "probed")
    labels = {"stage": "probed", "outcome": "ok"}

    status = await client.status(within(10))
    after_status = REGISTRY.get_sample_value("ragserve_stage_seconds_count", labels)
    await client.call("wait", 0.0, context=within(10))

    assert status.model == "probe-model"
    assert after_status is None
    assert REGISTRY.get_sample_value("ragserve_stage_seconds_count", labels) == 1


async def test_a_shared_call_has_a_deadline_too(client: StageClient) -> None:
    with pytest.raises(DeadlineExceededError):
        await client.shared_call("wait_all", 30.0, within(0.01))


async def test_an_envelope_arrives_whole_beside_each_item_of_a_message(client: StageClient) -> None:
    contexts = of_two_tenants()

    calls = (client.shared_call("envelopes_of", number, context) for number, context in enumerate(contexts))

    assert_arrived(await asyncio.gather(*calls), contexts)
    assert await client.call("message_sizes", context=within(10)) == [1, 1]


async def test_the_log_names_the_request_that_broke_a_replica(
    client: StageClient, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = of_two_tenants()

    with pytest.raises(InternalError):
        await client.call("break_down", context=first)

    (record,) = caplog.records
    assert record.getMessage() == "stage probe failed"
    assert (record.request_id, record.tenant) == ("req_1", "tenant-a")
    assert record.trace_id == TRACEPARENT.split("-")[1]


async def test_timeout_cancels_the_work(client: StageClient) -> None:
    with pytest.raises(DeadlineExceededError, match="the probe stage did not answer within"):
        await client.call("wait", 30.0, context=within(0.01))

    assert await cancelled(client) == 1


async def test_a_cancelled_caller_cancels_the_work(client: StageClient) -> None:
    call = asyncio.create_task(client.call("wait", 30.0, context=within(60)))
    await asyncio.sleep(0)  # the caller's turn
    await asyncio.sleep(0)  # the replica's

    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert await cancelled(client) == 1


async def test_our_errors_pass_and_others_become_internal(client: StageClient) -> None:
    with pytest.raises(InvalidRequestError, match="the text is empty"):
        await client.call("refuse", context=within(10))
    with pytest.raises(InternalError):
        await client.call("break_down", context=within(10))


async def test_a_stream_comes_whole(client: StageClient) -> None:
    assert [number async for number in client.stream_call("count", 3, context=within(10))] == [0, 1, 2]


async def test_leaving_a_stream_ends_it(client: StageClient) -> None:
    stream = client.stream_call("count", 1_000, context=within(10))
    assert await anext(stream) == 0

    await stream.aclose()

    async with asyncio.timeout(PATIENCE_S):
        while not await cancelled(client):  # noqa: ASYNC110, the closing is a task of its own
            await asyncio.sleep(0)


class Loaded:
    """A replica that needs its config first."""

    def __init__(self, catalog: str) -> None:
        self.catalog, self.user_config = catalog, {"model": "none"}

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        self.user_config = user_config

    async def check_health(self) -> None:
        if self.user_config["model"] == "ill":
            raise InvalidRequestError("ill", "model")

    async def model(self) -> str:
        return f"{self.catalog}: {self.user_config['model']}"


async def test_a_replica_starts_with_its_arguments_and_user_config() -> None:
    handle = InlineStage(Loaded, ("catalog",), {"model": "minilm"}).open()

    await handle.start()

    assert await handle.call("model") == "catalog: minilm"


async def test_an_ill_replica_says_so() -> None:
    handle = InlineHandle(Loaded("catalog"), {"model": "ill"})
    await handle.start()

    with pytest.raises(InvalidRequestError):
        await handle.check_health()
