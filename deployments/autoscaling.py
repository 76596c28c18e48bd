"""How many replicas a stage needs: computed from the work that arrives and the latency budget.

The number of running requests is a poor measure for a stage that batches. A coalesced message may carry thirty
questions, and an engine that runs 64 requests at once is no slower than one that runs 8. So each replica measures the
cost of its work and how much of it arrives, in seconds of its own time. The policy adds these up.
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
RATE_S = 5.0  # arrivals are counted over this time
COST_S = 60.0  # the cost of a unit is measured over this time
HISTORY = "history"


@dataclass
class Bucket:
    """The work of one second."""

    start_s: float
    arrived: float = 0.0
    worked: float = 0.0
    busy_s: float = 0.0


class WorkMeter:
    """A replica's work and its cost over the last minute. The stage chooses the unit of work: texts, pairs.

    `capacity` is the number of units that the replica works on at once: 64 for an engine that runs 64 requests as fast
    as one.
    """

    def __init__(self, capacity: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = capacity
        self._clock = clock
        self._buckets: deque[Bucket] = deque()
        self._pending = 0.0
        self._unit_s = 0.0  # the last measurement

    def arrived(self, units: float) -> None:
        self._now().arrived += units
        self._pending += units

    def worked(self, units: float, busy_s: float) -> None:
        """`units` took `busy_s` of the replica's time."""
        bucket = self._now()
        bucket.worked += units
        bucket.busy_s += busy_s

    def left(self, units: float) -> None:
        """`units` are done, or their caller has left."""
        self._pending -= units

    def stats(self) -> dict[str, float]:
        """For Serve's record_autoscaling_stats: `demand` in replicas, `backlog_s` in seconds of waiting work."""
        self._now()
        worked = sum(bucket.worked for bucket in self._buckets)
        if worked:
            self._unit_s = sum(bucket.busy_s for bucket in self._buckets) / worked / self._capacity
        return {DEMAND: self._rate() * self._unit_s, BACKLOG_S: self._pending * self._unit_s}

    def _rate(self) -> float:
        """Arrivals, in units a second over RATE_S.

        A new replica divides by RATE_S too. The other replicas still count what arrived before it started, so the sum
        is right, and the backlog that a new replica takes over does not count as new demand.
        """
        since_s = self._clock() - RATE_S
        # The first bucket counts only with its fraction inside the window.
        fractions = ((bucket, (bucket.start_s - since_s) / BUCKET_S + 1) for bucket in self._buckets)
        return sum(bucket.arrived * min(1.0, fraction) for bucket, fraction in fractions if fraction > 0) / RATE_S

    def _now(self) -> Bucket:
        now = self._clock()
        while self._buckets and self._buckets[0].start_s <= now - COST_S - BUCKET_S:
            self._buckets.popleft()
        if not self._buckets or now >= self._buckets[-1].start_s + BUCKET_S:
            self._buckets.append(Bucket(now))
        return self._buckets[-1]


class SlotMeter(WorkMeter):
    """For a replica that runs up to `slots` requests at once while more wait inside it. The unit is a request.

    The cost of a request is its fraction of the slots while it runs. Waiting costs nothing: an overloaded replica
    takes longer for a request, but the request is no more work.
    """

    def __init__(self, slots: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock=clock)
        self.slots = slots
        self._num_running = 0
        self._counted_until_s = clock()

    @property
    def num_running(self) -> int:
        return self._num_running

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request from its arrival to its end, even if it fails."""
        self._count()
        self._num_running += 1
        self.arrived(1)
        try:
            yield
        finally:
            self._count()
            self._num_running -= 1
            self.worked(1, 0.0)
            self.left(1)

    def stats(self) -> dict[str, float]:
        self._count()
        return super().stats()

    def _count(self) -> None:
        """Add the time since the last count, weighted by the fraction of busy slots."""
        now = self._clock()
        busy_fraction = min(self._num_running, self.slots) / self.slots
        self.worked(0, (now - self._counted_until_s) * busy_fraction)
        self._counted_until_s = now


class LatencyBudgetConfig(BaseModel):
    """The policy's `policy_kwargs`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget_s: float = Field(default=1.0, gt=0, le=600, description="How long work may wait for a replica, in seconds.")
    drain_s: float = Field(
        default=15.0, gt=0, le=3600, description="Time to finish the work that waits longer than budget_s, in seconds."
    )
    utilization: float = Field(default=0.7, gt=0, lt=1, description="Target for the busy fraction of a replica's time.")
    hold_s: float = Field(
        default=60.0, ge=0, le=3600, description="Scale down only to the highest demand of the last `hold_s` seconds."
    )
    # Of 80 simulated runs of 600 s, Poisson arrivals of 20 to 58 units a second, 56 oscillate with 0 and 2 with 0.15.
    slack: float = Field(
        default=0.15,
        ge=0,
        lt=1,
        description="Remove a replica only if the remaining replicas stay below `utilization` by this fraction of it.",
    )
    max_growth: float = Field(default=2.0, gt=1, le=16, description="Most replicas after one step up, as a multiple.")
    max_step_down: int = Field(default=1, ge=1, le=1000, description="Most replicas that one step down removes.")


@dataclass(frozen=True)
class LoadSample:
    """A stage's load at a time: `demand` in replicas, `queued` in requests that wait at the handles."""

    at_s: float
    demand: float
    queued: float


class LatencyBudgetPolicy:
    """A policy for Serve's autoscaling_config: replicas for the demand, and for the backlog past the latency budget.

    It scales up at once and down slowly: a demand counts until it is `hold_s` old. Serve then applies the delays,
    factors and bounds of the autoscaling_config. A deployment file names it as
    `policy: {policy_function: "deployments.autoscaling:LatencyBudgetPolicy", policy_kwargs: {budget_s: 0.5}}`.

    A replica accepts max_ongoing_requests at once. The other requests wait at the handles, where no replica counts
    them; the policy counts them at the cost of a request inside the replicas.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Raises pydantic.ValidationError for an unknown key or a value out of range."""
        self._config = LatencyBudgetConfig(**kwargs)

    def __call__(self, context: Any) -> tuple[float, dict[str, Any]]:
        """`context` is Serve's AutoscalingContext; its policy_state keeps the samples of the last `hold_s`."""
        now = time.time() if context.current_time is None else context.current_time
        metrics = context.aggregated_metrics or {}
        demand, backlog_s = (sum(metrics.get(name, {}).values()) for name in (DEMAND, BACKLOG_S))
        total, queued = context.total_num_requests or 0.0, context.total_queued_requests or 0.0
        request_s = backlog_s / max(1.0, total - queued)
        history = self._recent(context.policy_state.get(HISTORY, []), now)
        # Health probes are work too, but do not come through a handle: on their own they keep no replica alive.
        demand = max(0.0, demand + _growth(history, now, queued) * request_s) if total > 0 else 0.0
        history.append(LoadSample(now, demand, queued))
        peak_demand = max(sample.demand for sample in history if sample.at_s >= now - self._config.hold_s)
        backlog_s, num_running = backlog_s + queued * request_s, len(context.running_replicas)
        target = self.required_replicas(peak_demand, backlog_s, num_running)
        if target < context.target_num_replicas:
            # Arrivals fluctuate. Without this gap a load near a threshold would scale up and down in turn.
            with_slack = self.required_replicas(peak_demand / (1 - self._config.slack), backlog_s, num_running)
            target = min(context.target_num_replicas, with_slack)
        if total > 0:
            target = max(1, target)  # running requests need a replica, and the first replica measures the load
        return self.step(context.target_num_replicas, target), {HISTORY: history}

    def _recent(self, history: list[LoadSample], now_s: float) -> list[LoadSample]:
        """Without samples of the future: the clock went back since."""
        oldest_s = now_s - max(self._config.hold_s, RATE_S)
        return [sample for sample in history if oldest_s <= sample.at_s <= now_s]

    def required_replicas(self, demand: float, backlog_s: float, num_running: int) -> int:
        """Replicas for the demand, and for the backlog that the running ones cannot finish within the budget."""
        late_s = max(0.0, backlog_s - self._config.budget_s * num_running)
        return ceil(demand / self._config.utilization + late_s / self._config.drain_s - 1e-9)

    def step(self, current: int, target: int) -> int:
        """One step from `current` towards `target`."""
        if target > current:
            return min(target, max(current + 1, int(current * self._config.max_growth)))
        return max(target, current - self._config.max_step_down)


def _growth(history: list[LoadSample], now_s: float, queued: float) -> float:
    """Growth of the handles' queue over RATE_S, in requests a second.

    Added to the arrivals at the replicas it gives all arrivals. It is negative while a new replica takes over the
    queue: those requests are not new demand, and must not start more replicas.
    """
    before = next((sample for sample in history if sample.at_s >= now_s - RATE_S), None)
    if before is None or now_s - before.at_s < BUCKET_S:
        return 0.0
    return (queued - before.queued) / (now_s - before.at_s)
