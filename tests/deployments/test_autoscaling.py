"""The autoscaling policy: what replicas measure, how many they are to be, and a step of load without oscillation."""

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from pydantic import ValidationError

from deployments.autoscaling import BACKLOG_S, DEMAND, LatencyBudgetPolicy, WorkMeter


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


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


def test_replicas_are_for_the_demand_and_for_what_waits_too_long() -> None:
    policy = LatencyBudgetPolicy(budget_s=2, utilization=0.5, drain_s=10)

    assert policy.wanted(demand=1.5, backlog_s=0, num_running=3) == 3
    assert policy.wanted(demand=1.5, backlog_s=6, num_running=3) == 3  # each works 2 s of it off in time
    assert policy.wanted(demand=1.5, backlog_s=26, num_running=3) == 5  # 20 s too many, 10 s of each new one


def test_steps_are_capped_both_ways() -> None:
    policy = LatencyBudgetPolicy(max_growth=2, max_step_down=1)

    assert [policy.step(current, 100) for current in (0, 1, 4, 60)] == [1, 2, 8, 100]
    assert policy.step(10, 1) == 9


@dataclass
class Context:
    """What the policy reads of Serve's AutoscalingContext, as Serve fills it in."""

    target_num_replicas: int
    running_replicas: list[int]
    aggregated_metrics: dict[str, dict[int, float]]
    total_num_requests: float
    policy_state: dict[str, Any]
    current_time: float


def test_the_last_replica_goes_only_when_nothing_is_under_way() -> None:
    policy = LatencyBudgetPolicy()

    decided = [policy(Context(1, [1], {}, num_requests, {}, 1.0))[0] for num_requests in (1, 0)]

    assert decided == [1, 0]


def test_a_demand_holds_its_replicas_for_a_while() -> None:
    policy, state, decided = LatencyBudgetPolicy(hold_s=60, utilization=0.5, max_step_down=9), {}, []

    for now, demand in ((0.0, 2.0), (30.0, 0.5), (59.0, 0.5), (61.0, 0.5)):
        context = Context(4, [1, 2, 3, 4], {DEMAND: {1: demand}}, 1, state, now)
        replicas, state = policy(context)
        decided.append(replicas)

    assert decided == [4, 4, 4, 1]


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ValidationError, match="budget"):
        LatencyBudgetPolicy(budget=1)


@dataclass
class Stage:
    """A stage in simulated time: one queue, and replicas that take `start_s` to start and serve one unit at a time."""

    clock: Clock
    unit_s: float
    start_s: float
    meters: list[WorkMeter] = field(default_factory=list)
    starting: deque[float] = field(default_factory=deque)
    waiting: float = 0.0

    def run(self, per_s: float) -> None:
        """One second: what arrives is spread over the replicas, which do what they can of it."""
        while self.starting and self.starting[0] <= self.clock.now_s:
            self.starting.popleft()
            self.meters.append(WorkMeter(clock=self.clock))
        self.waiting += per_s
        done = min(self.waiting, len(self.meters) / self.unit_s)
        self.waiting -= done
        for meter in self.meters:
            meter.arrived(per_s / len(self.meters))
            meter.worked(done / len(self.meters), done / len(self.meters) * self.unit_s)
            meter.left(done / len(self.meters))
        self.clock.now_s += 1

    @property
    def target(self) -> int:
        return len(self.meters) + len(self.starting)

    def context(self, state: dict[str, Any]) -> Context:
        metrics = {
            DEMAND: {place: meter.stats()[DEMAND] for place, meter in enumerate(self.meters)},
            BACKLOG_S: {0: self.waiting * self.unit_s},
        }
        return Context(self.target, list(range(len(self.meters))), metrics, 1, state, self.clock.now_s)

    def scale_to(self, wanted: int) -> None:
        for _ in range(wanted - self.target):
            self.starting.append(self.clock.now_s + self.start_s)
        for _ in range(self.target - wanted):
            self.meters.pop()


def test_a_step_of_load_is_followed_without_oscillation() -> None:
    clock = Clock()
    stage = Stage(clock, unit_s=0.05, start_s=10, meters=[WorkMeter(clock=clock)])
    policy, state = LatencyBudgetPolicy(budget_s=1), {}
    replicas, waits_s = [], []

    for second in range(480):
        stage.run(per_s=60 if 120 <= second < 300 else 12)
        wanted, state = policy(stage.context(state))
        stage.scale_to(int(wanted))
        replicas.append(stage.target)
        waits_s.append(stage.waiting * stage.unit_s / len(stage.meters))

    changes = [after - before for before, after in pairwise(replicas) if after != before]
    first_fall = next(place for place, change in enumerate(changes) if change < 0)
    assert all(change < 0 for change in changes[first_fall:]), replicas  # up, then down, and never up again
    assert replicas[119] == replicas[-1] == 1
    assert 5 <= replicas[299] <= 7  # 60 a second of 0.05 s each is 3 replicas, or 5 at 70 %
    assert max(waits_s[150:300]) <= 1  # within the budget once scaled
