"""When StageClient sends a message again: for a lost replica alone, in time, within a budget, if it is safe."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from deployments.calls.client import MAX_RETRY_S, StageClient
from deployments.calls.envelope import Envelope
from models.errors.limits import OverloadedError
from models.errors.model_failures import ModelUnavailableError
from models.errors.stages import StageUnavailableError
from models.retry_budget import BURST, RetryBudget
from models.types.request_context import BACKGROUND_PRIORITY
from tests.contexts import within
from tests.patience import PATIENCE_S


class Losing:
    """A handle whose calls end as `outcomes` say, the last one again and again. It keeps what was sent."""

    is_inline = True

    def __init__(self, *outcomes: object) -> None:
        self._outcomes = list(outcomes)
        self.sent: list[tuple[Any, ...]] = []

    def call(self, method: str, *args: object) -> "asyncio.Future[Any]":
        self.sent.append(args)
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        answer = asyncio.get_running_loop().create_future()
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
        return answer

    async def stream(self, method: str, *args: object) -> AsyncGenerator[Any, None]:
        self.sent.append(args)
        yield "begun"
        raise DeploymentUnavailableError("probe")

    def cancel(self, response: Any) -> None:
        response.cancel()


LOST = DeploymentUnavailableError("probe")


async def test_a_question_whose_replica_died_is_sent_again_once_and_in_time() -> None:
    handle = Losing(LOST, ["answer"])

    answer = await StageClient(handle, "probe").shared_call("search", "item", within(PATIENCE_S))

    (_, (first,)), (_, (second,)) = handle.sent
    assert answer == "answer"
    assert second.budget_s <= MAX_RETRY_S < first.budget_s  # the replica works no longer than its caller waits
    assert replace(second, budget_s=0) == replace(first, budget_s=0)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BackPressureError(1, 1), OverloadedError),
        (ModelUnavailableError("probe", "remote", "its server is down"), ModelUnavailableError),
    ],
)
async def test_what_another_replica_would_not_do_better_is_sent_once(error: Exception, kind: type) -> None:
    handle = Losing(error)

    with pytest.raises(kind):
        await StageClient(handle, "probe").shared_call("search", "item", within(PATIENCE_S))

    assert len(handle.sent) == 1


async def test_work_in_the_background_and_a_stream_are_sent_once() -> None:
    handle = Losing(LOST)
    client, background = StageClient(handle, "probe"), replace(within(PATIENCE_S), priority=BACKGROUND_PRIORITY)

    with pytest.raises(StageUnavailableError):
        await client.call("embed", Envelope.of(background), context=background)
    with pytest.raises(StageUnavailableError):
        async for _ in client.stream_call("stream", context=within(PATIENCE_S)):
            pass

    assert len(handle.sent) == 2


async def test_no_message_is_sent_again_at_the_deadline() -> None:
    handle = Losing(LOST)

    with pytest.raises(StageUnavailableError):
        await StageClient(handle, "probe").shared_call("search", "item", within(0.05))

    assert len(handle.sent) == 1


async def test_a_stage_that_loses_all_messages_gets_few_of_them_twice() -> None:
    handle, num_questions = Losing(LOST), 200
    client = StageClient(handle, "probe")

    answers = (client.shared_call("search", "item", within(PATIENCE_S)) for _ in range(num_questions))
    errors = await asyncio.gather(*answers, return_exceptions=True)

    assert all(isinstance(error, StageUnavailableError) for error in errors)
    assert BURST <= len(handle.sent) - num_questions <= BURST + 1 + num_questions / 10


def test_a_budget_is_earned_by_requests_and_bounded() -> None:
    budget = RetryBudget(share=0.5, burst=2)

    spent = [budget.take() for _ in range(3)]
    for _ in range(100):
        budget.add_request()

    assert spent == [True, True, False]
    assert [budget.take() for _ in range(3)] == [True, True, False]
