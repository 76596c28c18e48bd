"""The autoscaling policy: what replicas measure, how many they are to be, and a step of load without oscillation."""

from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest
from pydantic import ValidationError
from ray.serve.config import AutoscalingConfig

from deployments.autoscaling import BACKLOG_S, DEMAND, LatencyBudgetPolicy, SlotMeter, WorkMeter
from tests.deployments.simulated_stage import Clock, Context, Stage, poisson, run_policy


def busy(meter: WorkMeter, clock: Clock, seconds: int, per_s: float, unit_s: float) -> None:
    """`per_s` units a second arrive and are done in `unit_s` each."""
    for _ in range(seconds):
        meter.arrived(per_s)
        meter.worked(per_s, per_s * unit_s)
        meter.left(per_s)
        clock.now_s += 1


def test_demand_is_the_time_that_arriving_work_takes() -> None:
    clock = Clock()
    meter = WorkMeter(clock=clock)

    busy(meter, clock, 60, per_s=30, unit_s=0.05)

    assert meter.stats()[DEMAND] == pytest.approx(1.5, rel=0.05)
    assert meter.stats()[BACKLOG_S] == 0


def test_what_waits_is_counted_in_seconds_of_work() -> None:
    clock = Clock()
    meter = WorkMeter(clock=clock)
    busy(meter, clock, 10, per_s=10, unit_s=0.02)

    meter.arrived(500)

    assert meter.stats()[BACKLOG_S] == pytest.approx(10)


def test_an_engine_that_runs_many_at_once_needs_fewer_replicas() -> None:
    clock = Clock()
    meter = WorkMeter(capacity=16, clock=clock)

    busy(meter, clock, 60, per_s=8, unit_s=2.0)

    assert meter.stats()[DEMAND] == pytest.approx(1.0, rel=0.05)


def test_demand_is_that_of_the_last_seconds() -> None:
    clock = Clock()
    meter = WorkMeter(clock=clock)
    busy(meter, clock, 60, per_s=10, unit_s=0.1)

    busy(meter, clock, 5, per_s=50, unit_s=0.1)

    assert meter.stats()[DEMAND] == pytest.approx(5, rel=0.05)


def test_a_request_costs_its_share_of_the_slots_while_it_has_one() -> None:
    clock = Clock()
    meter = SlotMeter(slots=4, clock=clock)

    with meter.request(), meter.request():
        clock.now_s = 3.0
    stats = meter.stats()

    # Two requests had half of the slots for 3 s: 0.75 s each. They arrived within the last 5 s.
    assert stats == {DEMAND: pytest.approx(2 / 5 * 0.75), BACKLOG_S: 0}


def test_what_waits_for_a_slot_is_backlog_and_no_dearer_for_it() -> None:
    clock = Clock()
    meter = SlotMeter(slots=2, clock=clock)

    with meter.request():
        with ExitStack() as waiting:
            for _ in range(9):
                waiting.enter_context(meter.request())
            clock.now_s = 4.0
        stats = meter.stats()

    # Nine ended in the 4 s that both slots were taken; the tenth is still there.
    assert stats[BACKLOG_S] == pytest.approx(4 / 9)


def test_a_request_that_fails_has_left() -> None:
    meter = SlotMeter(clock=Clock())

    with pytest.raises(ValueError, match="no"), meter.request():
        raise ValueError("no")

    assert meter.stats()[BACKLOG_S] == 0


def test_replicas_are_for_the_demand_and_for_what_waits_too_long() -> None:
    policy = LatencyBudgetPolicy(budget_s=2, utilization=0.5, drain_s=10)

    assert policy.required_replicas(demand=1.5, backlog_s=0, num_running=3) == 3
    assert policy.required_replicas(demand=1.5, backlog_s=6, num_running=3) == 3  # each works 2 s of it off in time
    assert policy.required_replicas(demand=1.5, backlog_s=26, num_running=3) == 5  # 20 s too many, 10 s of each new one


def test_steps_are_capped_both_ways() -> None:
    policy = LatencyBudgetPolicy(max_growth=2, max_step_down=1)

    assert [policy.step(current, 100) for current in (0, 1, 4, 60)] == [1, 2, 8, 100]
    assert policy.step(10, 1) == 9


def busy_context(state: dict[str, Any], now: float, demand: float, backlog_s: float, queued: float) -> Context:
    """Two replicas with ten requests each, and `queued` more at the handles."""
    metrics = {DEMAND: {1: demand / 2, 2: demand / 2}, BACKLOG_S: {1: backlog_s / 2, 2: backlog_s / 2}}
    return Context(2, [1, 2], metrics, 20 + queued, state, now, queued)


def test_what_waits_at_the_handles_is_counted_at_what_the_others_cost() -> None:
    policy = LatencyBudgetPolicy(budget_s=1, utilization=0.5, drain_s=10, max_growth=16)

    idle, _ = policy(busy_context({}, 0.0, demand=1.0, backlog_s=2.0, queued=0))
    late, _ = policy(busy_context({}, 0.0, demand=1.0, backlog_s=2.0, queued=200))

    # 20 requests are 2 s, so 200 are 20 s; 22 s less the budget of two replicas are two more for 10 s.
    assert (idle, late) == (2, 4)


def test_a_queue_that_grows_at_the_handles_is_demand_and_one_that_falls_is_none() -> None:
    policy = LatencyBudgetPolicy(budget_s=60, utilization=0.5, hold_s=0, max_growth=16)

    _, state = policy(busy_context({}, 0.0, demand=2.0, backlog_s=2.0, queued=100))
    grown, _ = policy(busy_context(state, 5.0, demand=2.0, backlog_s=2.0, queued=150))
    fallen, _ = policy(busy_context(state, 5.0, demand=2.0, backlog_s=2.0, queued=50))

    # 10 requests a second of 0.1 s each are one replica more, or one less: 3 or 1 at 50 %.
    assert (grown, fallen) == (6, 2)


def test_a_demand_between_up_and_down_changes_nothing() -> None:
    """1.1 replicas at 50 % are three; it takes less than 0.9, at 45 % of two, for the third to go."""
    policy = LatencyBudgetPolicy(utilization=0.5, slack=0.1, hold_s=0)

    def decided(target: int, demand: float) -> float:
        return policy(Context(target, [1] * target, {DEMAND: {1: demand}}, 1, {}, 1.0))[0]

    assert [decided(2, demand) for demand in (0.99, 1.1)] == [2, 3]
    assert [decided(3, demand) for demand in (1.1, 0.95, 0.89)] == [3, 3, 2]


def test_probes_alone_keep_no_replica() -> None:
    decided, _ = LatencyBudgetPolicy()(Context(1, [1], {DEMAND: {1: 0.001}}, 0, {}, 1.0))

    assert decided == 0


def test_the_policy_survives_the_way_to_the_controller() -> None:
    """Serve sends the class itself, with its module, to be made there from policy_kwargs."""
    config = AutoscalingConfig(
        policy={
            "policy_function": "deployments.autoscaling:LatencyBudgetPolicy",
            "policy_kwargs": {"budget_s": 0.5, "max_step_down": 3},
        }
    )

    policy = config.policy.get_policy()(**config.policy.policy_kwargs)

    assert policy.step(10, 1) == 7


def test_the_last_replica_goes_only_when_nothing_is_under_way() -> None:
    policy = LatencyBudgetPolicy()

    decided = [policy(Context(1, [1], {}, num_requests, {}, 1.0))[0] for num_requests in (1, 0)]

    assert decided == [1, 0]


def test_a_demand_holds_its_replicas_for_a_while() -> None:
    policy, state, decided = LatencyBudgetPolicy(hold_s=60, utilization=0.5, slack=0, max_step_down=9), {}, []

    for now, demand in ((0.0, 2.0), (30.0, 0.5), (59.0, 0.5), (61.0, 0.5)):
        context = Context(4, [1, 2, 3, 4], {DEMAND: {1: demand}}, 1, state, now)
        replicas, state = policy(context)
        decided.append(replicas)

    assert decided == [4, 4, 4, 1]


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ValidationError, match="budget"):
        LatencyBudgetPolicy(budget=1)


def step(second: int) -> float:
    return 60 if 120 <= second < 300 else 12


def test_a_step_of_load_is_followed_without_oscillation() -> None:
    clock = Clock()
    stage = Stage(clock, unit_s=0.05, start_s=10, meters=[WorkMeter(clock=clock)])

    # With the slack as shipped, 0.6 replicas would keep two: the second goes at less than 0.595.
    run = run_policy(stage, LatencyBudgetPolicy(budget_s=1, slack=0.1), map(step, range(480)))

    first_fall = next(place for place, change in enumerate(run.changes) if change < 0)
    assert all(change < 0 for change in run.changes[first_fall:]), run.replicas  # up, then down, never up again
    assert run.replicas[119] == run.replicas[-1] == 1
    assert 5 <= run.replicas[299] <= 7  # 60 a second of 0.05 s each is 3 replicas, or 5 at 70 %
    assert max(run.waits_s[150:300]) <= 1  # within the budget once scaled


@pytest.mark.parametrize("seed", range(5))
def test_an_uneven_step_that_waits_at_the_handles_is_followed_without_oscillation(seed: int) -> None:
    clock = Clock()
    stage = Stage(clock, unit_s=0.05, start_s=10, meters=[WorkMeter(clock=clock)], max_ongoing=20)

    run = run_policy(stage, LatencyBudgetPolicy(budget_s=1), poisson(map(step, range(480)), seed))

    first_fall = next(place for place, change in enumerate(run.changes) if change < 0)
    assert all(change < 0 for change in run.changes[first_fall:]), run.replicas
    assert run.replicas[-1] <= 2  # 12 a second are 0.6 replicas; uneven, at times more than 70 % of one
    assert 5 <= run.replicas[299] <= 7
    assert max(run.waits_s[160:300]) <= 1


@pytest.mark.parametrize("rate", [27, 28, 29, 41, 42, 43])
def test_a_steady_but_uneven_load_at_the_edge_of_a_replica_does_not_oscillate(rate: int) -> None:
    """28 a second of 0.05 s each are two replicas at 70 %, 42 are three."""
    clock = Clock()
    stage = Stage(clock, unit_s=0.05, start_s=10, meters=[WorkMeter(clock=clock)], max_ongoing=20)

    run = run_policy(stage, LatencyBudgetPolicy(budget_s=1), poisson([rate] * 600, seed=rate))

    settled = run.replicas[120:]
    changed = {count for count, next_count in pairwise(settled) if count != next_count}
    assert len(changed) <= 1, settled
