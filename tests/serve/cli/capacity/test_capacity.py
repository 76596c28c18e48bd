"""The formulas, in cases with known results."""

import math

import pytest

from serve.cli.capacity.capacity import Delay, natural_batch, operating_point, queue_for_servers, two_choices
from serve.cli.capacity.profile import BatchTimes, GenerationTimes


def test_a_batch_of_one_waits_as_in_the_m_d_1_queue() -> None:
    times = BatchTimes(per_item_s=0.1)

    point = operating_point(times, rate=8.0, max_batch=1)

    # M/D/1 at a load of 0.8: 0.8 x 0.1 / (2 x 0.2) s in the queue, and 0.1 s.
    assert point.delay.mean_s == pytest.approx(0.2 + 0.1)
    assert point.busy == pytest.approx(0.8)


def test_a_batch_holds_the_arrivals_of_the_previous_batch() -> None:
    times = BatchTimes(fixed_s=1.0, per_item_s=0.01, max_batch=1_000)

    # n = 50 x (1 + 0.01 n), so n is 100.
    assert natural_batch(times, 50.0, 1_000) == pytest.approx(100.0, rel=1e-3)


def test_a_batch_holds_one_item_at_a_low_rate() -> None:
    assert natural_batch(BatchTimes(fixed_s=0.01, per_item_s=0.01), 0.001, 32) == pytest.approx(1.0, abs=1e-4)


def test_an_overloaded_replica_has_an_infinite_delay() -> None:
    times = BatchTimes(fixed_s=0.1, per_item_s=0.1, max_batch=4)

    assert math.isinf(operating_point(times, rate=8.0, max_batch=4).delay.mean_s)  # at most 4 / 0.5 s


def test_a_request_lives_longer_among_more_requests() -> None:
    times = GenerationTimes(prefill_s=0.0, step_s=0.01, step_item_s=0.001, tokens=100, max_requests=64).as_batch()

    point = operating_point(times, rate=5.0, max_batch=64)

    # L = 1 / (1 - 5 x 0.1) = 2 s, so 10 requests are in the engine.
    assert point.batch == pytest.approx(10.0)
    assert point.delay.mean_s == pytest.approx(2.0, rel=0.01)


def test_the_shorter_of_two_queues_shortens_the_wait() -> None:
    # (0.8^2 + 0.8^6 + 0.8^14 + …) / (0.8 / 0.2)
    assert two_choices(0.8) == pytest.approx((0.64 + 0.262144 + 0.043980 + 0.001238) / 4, rel=1e-4)


def test_one_server_gives_the_m_m_1_queue() -> None:
    assert queue_for_servers(0.5, 1) == pytest.approx(1.0)  # M/M/1: load / (1 - load)


def test_delays_add_up() -> None:
    path = Delay(1.0, 0.09) + Delay(2.0, 0.16)

    assert path == Delay(3.0, 0.25)
    assert path.p95_s == pytest.approx(3.0 + 2 * 0.5)
