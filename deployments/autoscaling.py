"""How many replicas a stage needs: from the work that arrives and the latency budget, not from requests under way.

Requests under way say little of a stage that batches: with coalesced messages one may stand for thirty questions, and
an engine that runs 64 at once is no slower than one that runs 8. So each replica measures what work costs it and how
much arrives, in seconds of its own time, and the policy adds that up.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

DEMAND, BACKLOG_S = "demand", "backlog_s"
BUCKET_S = 1.0
RATE_S = 5.0  # arrivals are counted over the last seconds
COST_S = 60.0  # and what a unit costs over the last minute
HISTORY = "demand_history"


@dataclass
class Bucket:
    """What happened within one second."""

    start_s: float
    arrived: float = 0.0
    worked: float = 0.0
    busy_s: float = 0.0


class WorkMeter:
    """What a replica has to do and what it costs, over the last minute. Units of work are the stage's: texts, pairs.

    `capacity` is how much the replica works on at once: an engine that runs 64 requests as fast as one has 64.
    """

    def __init__(self, capacity: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = capacity
        self._clock = clock
        self._started_s = clock()
        self._buckets: deque[Bucket] = deque()
        self._pending = 0.0
        self._unit_s = 0.0  # as last known

    def arrived(self, units: float) -> None:
        self._now().arrived += units
        self._pending += units

    def worked(self, units: float, busy_s: float) -> None:
        """`units` took `busy_s` of the replica's time."""
        bucket = self._now()
        bucket.worked += units
        bucket.busy_s += busy_s

    def left(self, units: float) -> None:
        """`units` are done, or are not wanted any more."""
        self._pending -= units

    def stats(self) -> dict[str, float]:
        """For Serve's record_autoscaling_stats: `demand` in replicas, and the `backlog_s` that waits."""
        self._now()
        worked = sum(bucket.worked for bucket in self._buckets)
        if worked:
            self._unit_s = sum(bucket.busy_s for bucket in self._buckets) / worked / self._capacity
        return {DEMAND: self._rate() * self._unit_s, BACKLOG_S: self._pending * self._unit_s}

    def _rate(self) -> float:
        """Units that arrived a second, over a window no longer than there is a past."""
        now = self._clock()
        span_s = max(BUCKET_S, min(RATE_S, now - self._started_s))
        return sum(bucket.arrived for bucket in self._buckets if bucket.start_s >= now - span_s) / span_s

    def _now(self) -> Bucket:
        now = self._clock()
        while self._buckets and self._buckets[0].start_s <= now - COST_S - BUCKET_S:
            self._buckets.popleft()
        if not self._buckets or now >= self._buckets[-1].start_s + BUCKET_S:
            self._buckets.append(Bucket(now))
        return self._buckets[-1]


class LatencyBudgetConfig(BaseModel):
    """The policy's `policy_kwargs`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget_s: float = Field(default=1.0, gt=0, le=600, description="How long work may wait for a replica, in seconds.")
    drain_s: float = Field(
        default=15.0, gt=0, le=3600, description="What waits longer is to be worked off in so many seconds."
    )
    utilization: float = Field(default=0.7, gt=0, lt=1, description="How busy a replica may be on average.")
    hold_s: float = Field(default=60.0, ge=0, le=3600, description="Replicas stay for the highest demand of this time.")
    max_growth: float = Field(default=2.0, gt=1, le=16, description="Replicas after one step up, as a multiple.")
    max_step_down: int = Field(default=1, ge=1, le=1000, description="Replicas that one step down may take away.")


class LatencyBudgetPolicy:
    """A policy for Serve's autoscaling_config: replicas for the demand, and to work off what waits past the budget.

    Up at once, down slowly: a demand counts until it is `hold_s` old. Serve applies the delays, factors and bounds of
    the autoscaling_config to what it says. Named in a deployment file as
    `policy: {policy_function: "deployments.autoscaling:LatencyBudgetPolicy", policy_kwargs: {budget_s: 0.5}}`.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Raises pydantic.ValidationError for a key that is not known or a value out of range."""
        self._config = LatencyBudgetConfig(**kwargs)

    def __call__(self, context: Any) -> tuple[float, dict[str, Any]]:
        """`context` is Serve's AutoscalingContext; its policy_state keeps the demands of the last `hold_s`."""
        reported = context.aggregated_metrics or {}
        demand, backlog_s = (sum(reported.get(name, {}).values()) for name in (DEMAND, BACKLOG_S))
        now = time.time() if context.current_time is None else context.current_time
        history = [(at, one) for at, one in context.policy_state.get(HISTORY, []) if at > now - self._config.hold_s]
        history.append((now, demand))
        wanted = self.wanted(max(one for _, one in history), backlog_s, len(context.running_replicas))
        if (context.total_num_requests or 0) > 0:
            wanted = max(1, wanted)  # none is left for what is under way, and a first one measures the rest
        return self.step(context.target_num_replicas, wanted), {HISTORY: history}

    def wanted(self, demand: float, backlog_s: float, num_running: int) -> int:
        """Replicas for a demand, and for what the running ones will not have worked off within the budget."""
        late_s = max(0.0, backlog_s - self._config.budget_s * num_running)
        return ceil(demand / self._config.utilization + late_s / self._config.drain_s - 1e-9)

    def step(self, current: int, wanted: int) -> int:
        """One step from `current` towards `wanted`."""
        if wanted > current:
            return min(wanted, max(current + 1, int(current * self._config.max_growth)))
        return max(wanted, current - self._config.max_step_down)
