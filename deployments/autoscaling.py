"""How many replicas a stage needs: from the work that arrives and the latency budget, not from requests under way.

Requests under way say little of a stage that batches: with coalesced messages one may stand for thirty questions, and
an engine that runs 64 at once is no slower than one that runs 8. So each replica measures what work costs it and how
much arrives, in seconds of its own time, and the policy adds that up.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

DEMAND, BACKLOG_S = "demand", "backlog_s"
BUCKET_S = 1.0
RATE_S = 5.0  # arrivals are counted over the last seconds
COST_S = 60.0  # and what a unit costs over the last minute
HISTORY = "history"


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
        """Units that arrived a second.

        Over RATE_S, of a new replica too: the others still count what came before they shared it, so that the sum is
        right, and a new one that takes on what waits is not taken for a rush.
        """
        since_s = self._clock() - RATE_S
        # Of the bucket in which that time begins the part that is in it.
        shares = ((bucket, (bucket.start_s - since_s) / BUCKET_S + 1) for bucket in self._buckets)
        return sum(bucket.arrived * min(1.0, share) for bucket, share in shares if share > 0) / RATE_S

    def _now(self) -> Bucket:
        now = self._clock()
        while self._buckets and self._buckets[0].start_s <= now - COST_S - BUCKET_S:
            self._buckets.popleft()
        if not self._buckets or now >= self._buckets[-1].start_s + BUCKET_S:
            self._buckets.append(Bucket(now))
        return self._buckets[-1]


class SlotMeter(WorkMeter):
    """Of a replica that works on up to `slots` requests at once, while more wait inside it. A request is a unit.

    What a request costs is its share of the slots while it has one. Its waiting costs nothing: in a replica that is
    late a request takes longer from end to end, and is no more work for that.
    """

    def __init__(self, slots: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock=clock)
        self.slots = slots
        self._num_under_way = 0
        self._counted_until_s = clock()

    @contextmanager
    def request(self) -> Iterator[None]:
        """A request, from its arrival to its end, however it ends."""
        self._count()
        self._num_under_way += 1
        self.arrived(1)
        try:
            yield
        finally:
            self._count()
            self._num_under_way -= 1
            self.worked(1, 0.0)
            self.left(1)

    def stats(self) -> dict[str, float]:
        self._count()
        return super().stats()

    def _count(self) -> None:
        """The time since it was last counted, by how many of the slots were taken."""
        now = self._clock()
        share = min(self._num_under_way, self.slots) / self.slots
        self.worked(0, (now - self._counted_until_s) * share)
        self._counted_until_s = now


class LatencyBudgetConfig(BaseModel):
    """The policy's `policy_kwargs`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget_s: float = Field(default=1.0, gt=0, le=600, description="How long work may wait for a replica, in seconds.")
    drain_s: float = Field(
        default=15.0, gt=0, le=3600, description="What waits longer is to be worked off in so many seconds."
    )
    utilization: float = Field(default=0.7, gt=0, lt=1, description="How busy a replica may be on average.")
    hold_s: float = Field(default=60.0, ge=0, le=3600, description="Replicas stay for the highest demand of this time.")
    # Of 80 simulated runs of 600 s, Poisson arrivals of 20 to 58 units a second, 56 oscillate with 0 and 2 with 0.15.
    slack: float = Field(
        default=0.15,
        ge=0,
        lt=1,
        description="A replica goes only if those that stay would be less busy than `utilization` by this share of it.",
    )
    max_growth: float = Field(default=2.0, gt=1, le=16, description="Replicas after one step up, as a multiple.")
    max_step_down: int = Field(default=1, ge=1, le=1000, description="Replicas that one step down may take away.")


@dataclass(frozen=True)
class Moment:
    """What a stage was asked for at a time: `demand` in replicas, `queued` in requests that wait at the handles."""

    at_s: float
    demand: float
    queued: float


class LatencyBudgetPolicy:
    """A policy for Serve's autoscaling_config: replicas for the demand, and to work off what waits past the budget.

    Up at once, down slowly: a demand counts until it is `hold_s` old. Serve applies the delays, factors and bounds of
    the autoscaling_config to what it says. Named in a deployment file as
    `policy: {policy_function: "deployments.autoscaling:LatencyBudgetPolicy", policy_kwargs: {budget_s: 0.5}}`.

    What a replica takes on at once is its max_ongoing_requests; the rest waits at the handles, where no replica counts
    it. It is counted here, at what a request with the replicas costs.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Raises pydantic.ValidationError for a key that is not known or a value out of range."""
        self._config = LatencyBudgetConfig(**kwargs)

    def __call__(self, context: Any) -> tuple[float, dict[str, Any]]:
        """`context` is Serve's AutoscalingContext; its policy_state keeps the demands of the last `hold_s`."""
        now = time.time() if context.current_time is None else context.current_time
        metrics = context.aggregated_metrics or {}
        demand, backlog_s = (sum(metrics.get(name, {}).values()) for name in (DEMAND, BACKLOG_S))
        total, queued = context.total_num_requests or 0.0, context.total_queued_requests or 0.0
        request_s = backlog_s / max(1.0, total - queued)
        history = self._kept(context.policy_state.get(HISTORY, []), now)
        # Health probes are work too, but no handle knows of them: alone they keep no replica.
        demand = max(0.0, demand + _growth(history, now, queued) * request_s) if total > 0 else 0.0
        history.append(Moment(now, demand, queued))
        held = max(one.demand for one in history if one.at_s >= now - self._config.hold_s)
        backlog_s, num_running = backlog_s + queued * request_s, len(context.running_replicas)
        wanted = self.wanted(held, backlog_s, num_running)
        if wanted < context.target_num_replicas:
            # Arrivals are never even: without a gap between up and down, a load at the edge of one would go both ways.
            enough = self.wanted(held / (1 - self._config.slack), backlog_s, num_running)
            wanted = min(context.target_num_replicas, enough)
        if total > 0:
            wanted = max(1, wanted)  # none is left for what is under way, and a first one measures the rest
        return self.step(context.target_num_replicas, wanted), {HISTORY: history}

    def _kept(self, history: list[Moment], now_s: float) -> list[Moment]:
        return [one for one in history if one.at_s >= now_s - max(self._config.hold_s, RATE_S)]

    def wanted(self, demand: float, backlog_s: float, num_running: int) -> int:
        """Replicas for a demand, and for what the running ones will not have worked off within the budget."""
        late_s = max(0.0, backlog_s - self._config.budget_s * num_running)
        return ceil(demand / self._config.utilization + late_s / self._config.drain_s - 1e-9)

    def step(self, current: int, wanted: int) -> int:
        """One step from `current` towards `wanted`."""
        if wanted > current:
            return min(wanted, max(current + 1, int(current * self._config.max_growth)))
        return max(wanted, current - self._config.max_step_down)


def _growth(history: list[Moment], now_s: float, queued: float) -> float:
    """By how many requests a second the handles' queue grew, over the time that arrivals at replicas are counted.

    With what reaches the replicas it makes what arrives. It is less than nothing while a new replica takes on what
    waits: that is no demand, and would have still more replicas started.
    """
    before = next((one for one in history if one.at_s >= now_s - RATE_S), None)
    if before is None or now_s - before.at_s < BUCKET_S:
        return 0.0
    return (queued - before.queued) / (now_s - before.at_s)
