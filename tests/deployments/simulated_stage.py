"""A stage under the autoscaling policy in simulated time: one queue, replicas that take a while to start."""

import math
import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from deployments.autoscaling import BACKLOG_S, DEMAND, LatencyBudgetPolicy, WorkMeter


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Context:
    """What the policy reads of Serve's AutoscalingContext, as Serve fills it in."""

    target_num_replicas: int
    running_replicas: list[int]
    aggregated_metrics: dict[str, dict[int, float]]
    total_num_requests: float
    policy_state: dict[str, Any]
    current_time: float
    total_queued_requests: float = 0.0


@dataclass
class Stage:
    """A stage in simulated time: replicas that take `start_s` to start, serve one unit at a time, and hold few.

    What the replicas do not hold waits at the handles, from where the next replica takes it.
    """

    clock: Clock
    unit_s: float
    start_s: float
    meters: list[WorkMeter] = field(default_factory=list)
    max_ongoing: float = math.inf
    starting: deque[float] = field(default_factory=deque)
    waiting: float = 0.0
    held: float = 0.0

    def run(self, arriving: float) -> None:
        """One second: what arrives is spread over the replicas, which do what they can of it."""
        while self.starting and self.starting[0] <= self.clock.now_s:
            self.starting.popleft()
            self.meters.append(WorkMeter(clock=self.clock))
        held, self.waiting = self.held, self.waiting + arriving
        done = min(self.waiting, len(self.meters) / self.unit_s)
        self.waiting -= done
        self.held = min(self.waiting, self.max_ongoing * len(self.meters))
        for meter in self.meters:
            meter.arrived((self.held - held + done) / len(self.meters))
            meter.worked(done / len(self.meters), done / len(self.meters) * self.unit_s)
            meter.left(done / len(self.meters))
        self.clock.now_s += 1

    @property
    def target(self) -> int:
        return len(self.meters) + len(self.starting)

    def context(self, state: dict[str, Any]) -> Context:
        metrics = {
            DEMAND: {place: meter.stats()[DEMAND] for place, meter in enumerate(self.meters)},
            BACKLOG_S: {0: self.held * self.unit_s},
        }
        running, queued = list(range(len(self.meters))), self.waiting - self.held
        return Context(self.target, running, metrics, 1 + self.waiting, state, self.clock.now_s, queued)

    def scale_to(self, wanted: int) -> None:
        for _ in range(wanted - self.target):
            self.starting.append(self.clock.now_s + self.start_s)
        for _ in range(self.target - wanted):
            self.meters.pop()


@dataclass
class Followed:
    """What became of a stage under a policy, by the second."""

    replicas: list[int]
    waits_s: list[float]

    @property
    def changes(self) -> list[int]:
        return [after - before for before, after in pairwise(self.replicas) if after != before]


def follow(stage: Stage, policy: LatencyBudgetPolicy, arrivals: Iterable[float]) -> Followed:
    followed, state = Followed([], []), {}
    for arriving in arrivals:
        stage.run(arriving)
        wanted, state = policy(stage.context(state))
        stage.scale_to(int(wanted))
        followed.replicas.append(stage.target)
        followed.waits_s.append(stage.waiting * stage.unit_s / len(stage.meters))
    return followed


def poisson(rates: Iterable[float], seed: int) -> Iterator[float]:
    """Arrivals a second: as uneven as independent callers make them."""
    source = random.Random(seed)
    for rate in rates:
        count, left = 0, 1.0 - source.expovariate(rate)
        while left > 0:
            count, left = count + 1, left - source.expovariate(rate)
        yield count
