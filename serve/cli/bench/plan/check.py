"""`ragserve bench plan`: plans held against runs.

Stages that sleep for as long as a profile says, as replicas of Ray Serve behind our clients, with a plan's replicas
and batches, driven by callers in a closed loop until they bear no more. And, for what no such machine bears, the same
graph event by event in simulated time.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ray import serve

from deployments.calls.coalescer import CoalescingConfig
from deployments.calls.routing import ROUTING
from deployments.cluster.start import ClusterSize, local_cluster
from serve.cli.bench.plan.cases import Case, cases, paper_plan
from serve.cli.bench.plan.stages import BUDGET_S, Graph, SimulatedEngine, SimulatedStage
from serve.cli.capacity.plan import Plan, StagePlan
from serve.cli.capacity.simulate import closed_loop, open_loop

CLOSE = 0.15  # that a run may differ from its prediction
SHARE_OF_CPU = 0.01  # of a replica that sleeps
PAPER_S = 60.0  # of simulated time
HEAD = (
    "| how | bottleneck | replicas | predicted q/s | found q/s | found / predicted | predicted p95 s | found p95 s |\n"
    "|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Check:
    """A prediction and what came of it; times are 95th percentiles, 0 where none is predicted."""

    how: str
    bottleneck: str
    replicas: int
    predicted_per_s: float
    found_per_s: float
    predicted_s: float = 0.0
    found_s: float = 0.0

    def line(self) -> str:
        ratio = f"{self.found_per_s / self.predicted_per_s:.2f}{_off(self.found_per_s, self.predicted_per_s)}"
        cells = [f"{self.predicted_per_s:,.1f}", f"{self.found_per_s:,.1f}", ratio, "", ""]
        if self.predicted_s:
            cells[3:] = [f"{self.predicted_s:.3f}", f"{self.found_s:.3f}{_off(self.found_s, self.predicted_s)}"]
        return f"| {' | '.join([self.how, self.bottleneck, str(self.replicas), *cells])} |"


def _off(found: float, predicted: float) -> str:
    return "" if abs(found / predicted - 1) <= CLOSE else " (off)"


def run(seconds: float, say: Callable[[str], None]) -> list[Check]:
    """The plan on paper in simulated time, then each case on Ray."""
    say("1,000 queries/s over 10 million chunks, in simulated time")
    checks = list(check_simulated(paper_plan(), PAPER_S))
    return checks + asyncio.run(_check_all_on_ray(seconds, say))


async def _check_all_on_ray(seconds: float, say: Callable[[str], None]) -> list[Check]:
    """In one event loop, to which Ray's handles belong: it outlives them."""
    checks: list[Check] = []
    with local_cluster(ClusterSize(num_cpus=4)):
        for case in cases():
            say(f"bottleneck {case.expected}: on Ray Serve")
            checks.append(await check_on_ray(case, seconds))
    return checks


def check_simulated(plan: Plan, seconds: float) -> Iterator[Check]:
    """At the target's rate for the latency; with callers enough to saturate it for the throughput."""
    target, name, replicas = plan.target, plan.limits[0].name, num_replicas(plan)
    arrived = open_loop(plan.layout(), target.queries_per_s, seconds)
    yield Check(
        "at the target, simulated",
        name,
        replicas,
        target.queries_per_s,
        arrived.per_s,
        plan.delay.p95_s,
        arrived.p95_s,
    )
    most = closed_loop(plan.layout(), num_clients(plan), seconds)
    yield Check("saturated, simulated", name, replicas, plan.per_s, most.per_s)


async def check_on_ray(case: Case, seconds: float) -> Check:
    """Throughput at saturation. Needs a cluster."""
    plan, name = case.plan(), f"plan-{case.expected}"
    clients = num_clients(plan)
    handle = serve.run(_graph(plan), name=name, route_prefix=None)
    # By Little's law each query is under way for so long; twice that until all stages are full.
    warm_s = 2 * clients / plan.per_s
    try:
        async with asyncio.timeout(warm_s + seconds + BUDGET_S):
            took = await handle.drive.remote(clients, warm_s, seconds)
    finally:
        serve.delete(name)
    return Check("saturated, Ray Serve", plan.limits[0].name, num_replicas(plan), plan.per_s, len(took) / seconds)


def num_replicas(plan: Plan) -> int:
    return sum(stage.shards * stage.replicas for stage in plan.stages.values())


def num_clients(plan: Plan) -> int:
    """Enough for two full batches of every replica: one that is computed, one that gathers."""
    return sum(2 * stage.replicas * stage.batch for stage in plan.stages.values())


def _graph(plan: Plan) -> serve.Application:
    stages = {name: stage for name, stage in plan.stages.items() if name not in ("ingress", "dense")}
    handles = {name: _stage(stage, name) for name, stage in stages.items()}
    dense = plan.stages["dense"]
    shards = [_stage(dense, f"dense-{number}") for number in range(dense.shards)]
    coalescing = CoalescingConfig(max_items=plan.max_message_items(CoalescingConfig().max_items))
    deployment = serve.deployment(Graph, max_ongoing_requests=4, ray_actor_options={"num_cpus": SHARE_OF_CPU})
    return deployment.bind(handles, shards, coalescing)


def _stage(stage: StagePlan, name: str) -> serve.Application:
    kind = SimulatedEngine if stage.times.is_continuous else SimulatedStage
    deployment = serve.deployment(
        kind,
        name=name,
        num_replicas=stage.replicas,
        max_ongoing_requests=10_000,
        request_router_config=ROUTING,
        ray_actor_options={"num_cpus": SHARE_OF_CPU},
    )
    return deployment.bind(stage.times, stage.batch)
