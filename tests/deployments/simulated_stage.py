"""A stage under the autoscaling policy in simulated time: one queue, and replicas that take time to start.

Nothing sleeps and nothing runs on Ray: a test follows the policy over minutes of load within milliseconds.
"""

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
    """The fields of Serve's AutoscalingContext that the policy reads, as Serve sets them."""

    target_num_replicas: int
    running_replicas: list[int]
    aggregated_metrics: dict[str, dict[int, float]]
    total_num_requests: float
    policy_state: dict[str, Any]
    current_time: float
    total_queued_requests: float = 0.0


@dataclass
class Stage:
    """Replicas that take `start_s` to start and serve one unit at a time, in `unit_s`.

    `queued` is all unfinished work. Each replica accepts up to `max_ongoing` units; the others wait at the handles,
    from where the next replica takes them.
    """

    clock: Clock
    unit_s: float
    start_s: float
    meters: list[WorkMeter] = field(default_factory=list)
    max_ongoing: float = math.inf
    starting: deque[float] = field(default_factory=deque)
    queued: float = 0.0
    ongoing: float = 0.0

    def run(self, arriving: float) -> None:
        """One second: the replicas share the arriving units and finish as many as they can."""
        while self.starting and self.starting[0] <= self.clock.now_s:
            self.starting.popleft()
            self.meters.append(WorkMeter(clock=self.clock))
        ongoing, self.queued = self.ongoing, self.queued + arriving
        done = min(self.queued, len(self.meters) / self.unit_s)
        self.queued -= done
        self.ongoing = min(self.queued, self.max_ongoing * len(self.meters))
        for meter in self.meters:
            meter.arrived((self.ongoing - ongoing + done) / len(self.meters))
            meter.worked(done / len(self.meters), done / len(self.meters) * self.unit_s)
            meter.left(done / len(self.meters))
        self.clock.now_s += 1

    @property
    def target(self) -> int:
        return len(self.meters) + len(self.starting)

    def context(self, state: dict[str, Any]) -> Context:
        metrics = {
            DEMAND: {place: meter.stats()[DEMAND] for place, meter in enumerate(self.meters)},
            BACKLOG_S: {0: self.ongoing * self.unit_s},
        }
        running, at_handles = list(range(len(self.meters))), self.queued - self.ongoing
        return Context(self.target, running, metrics, 1 + self.queued, state, self.clock.now_s, at_handles)

    def scale_to(self, num_replicas: int) -> None:
        for _ in range(num_replicas - self.target):
            self.starting.append(self.clock.now_s + self.start_s)
        for _ in range(self.target - num_replicas):
            self.meters.pop()


@dataclass
class PolicyRun:
    """A stage under a policy: its target replicas and its queue in seconds of work, second by second."""

    replicas: list[int]
    waits_s: list[float]

    @property
    def changes(self) -> list[int]:
        return [after - before for before, after in pairwise(self.replicas) if after != before]


def run_policy(stage: Stage, policy: LatencyBudgetPolicy, arrivals: Iterable[float]) -> PolicyRun:
    """`arrivals` are units in each second."""
    seconds, state = PolicyRun([], []), {}
    for arriving in arrivals:
        stage.run(arriving)
        num_replicas, state = policy(stage.context(state))
        stage.scale_to(int(num_replicas))
        seconds.replicas.append(stage.target)
        seconds.waits_s.append(stage.queued * stage.unit_s / len(stage.meters))
    return seconds


def poisson(rates: Iterable[float], seed: int) -> Iterator[float]:
    """Units in each second, as uneven as the requests of independent callers."""
    source = random.Random(seed)
    for rate in rates:
        count, remaining_s = 0, 1.0 - source.expovariate(rate)
        while remaining_s > 0:
            count, remaining_s = count + 1, remaining_s - source.expovariate(rate)
        yield count
