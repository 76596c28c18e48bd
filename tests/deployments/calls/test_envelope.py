"""An envelope carries all that a replica must know of a request, and a deadline survives the change of clocks."""

import pickle
from dataclasses import replace

import pytest

from deployments.calls.coalescer import answers_of
from deployments.calls.envelope import Envelope, longest_budget_s
from models.errors.requests import InvalidRequestError
from models.errors.stages import InternalError
from models.types.request_context import BACKGROUND_PRIORITY, NORMAL_PRIORITY
from tests.contexts import of_two_tenants, within


def test_a_replica_has_the_callers_context_with_a_deadline_of_its_own_clock() -> None:
    for context in of_two_tenants():
        received = pickle.loads(pickle.dumps(Envelope.of(context))).to_context()

        assert replace(received, deadline=context.deadline) == context
        assert context.remaining_s() - 1 < received.remaining_s() <= context.remaining_s() + 1


def test_a_part_of_the_budget_keeps_the_rest_of_the_context() -> None:
    first, _ = of_two_tenants()

    hurried = first.at_most(0.5)

    assert hurried.remaining_s() <= 0.5
    assert replace(hurried, deadline=first.deadline) == first
    assert first.at_most(3600).deadline == first.deadline


def test_background_work_is_less_urgent_than_a_question() -> None:
    assert BACKGROUND_PRIORITY < NORMAL_PRIORITY
    assert within(1).priority == NORMAL_PRIORITY


def test_a_message_is_late_when_all_of_its_requests_are() -> None:
    assert longest_budget_s([Envelope("a", "t", 0.5), Envelope("b", "t", 2.0)]) == 2.0


async def test_a_replicas_log_names_the_request_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(number: int) -> int:
        if number < 0:
            raise InvalidRequestError("negative", "number")
        return 1 // number

    envelopes = [Envelope(request_id, "t", 1.0) for request_id in ("req_good", "req_refused", "req_broken")]

    answers = await answers_of("probe", envelopes, map(answer, (1, -1, 0)))

    assert answers[0] == 1
    assert [type(error) for error in answers[1:]] == [InvalidRequestError, InternalError]
    (record,) = caplog.records
    assert record.getMessage() == "stage probe failed"
    assert record.request_id == "req_broken"
