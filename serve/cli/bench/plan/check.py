"""`ragserve bench plan`: plans against runs.

A plan's replicas and batches run on Ray Serve behind our clients, as stages that sleep for as long as the profile says;
clients in a closed loop saturate them. A plan that is too large for any such machine runs in simulated time, event by
event.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ray import serve

from serve.cli.bench.plan.cases import Case, paper_plan
from serve.cli.bench.plan.graph import PATH, plan_graph
from serve.cli.capacity.plan import Plan
from serve.cli.capacity.simulate import closed_loop, open_loop
from serve.cli.driver.serve_graph import Endpoint, serve_cluster
from serve.cli.driver.workload import write_bodies

MAX_ERROR = 0.15  # relative, of a prediction
PAPER_S = 60.0  # of simulated time
NUM_BODIES = 256
HEAD = (
    "| how | bottleneck | replicas | predicted q/s | found q/s | found / predicted | predicted p95 s | found p95 s |\n"
    "|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Check:
    """A prediction and its measurement; times are 95th percentiles, 0 without a prediction."""

    how: str
    bottleneck: str
    replicas: int
    predicted_per_s: float
    measured_per_s: float
    predicted_s: float = 0.0
    measured_s: float = 0.0

    def line(self) -> str:
        ratio = f"{self.measured_per_s / self.predicted_per_s:.2f}{_off(self.measured_per_s, self.predicted_per_s)}"
        cells = [f"{self.predicted_per_s:,.1f}", f"{self.measured_per_s:,.1f}", ratio, "", ""]
        if self.predicted_s:
            cells[3:] = [
                f"{self.predicted_s:.3f}",
                f"{self.measured_s:.3f}{_off(self.measured_s, self.predicted_s)}",
            ]
        return f"| {' | '.join([self.how, self.bottleneck, str(self.replicas), *cells])} |"


def _off(measured: float, predicted: float) -> str:
    return "" if abs(measured / predicted - 1) <= MAX_ERROR else " (off)"


def run(cases: Sequence[Case], seconds: float, report: Callable[[str], None]) -> list[Check]:
    """The plan on paper in simulated time, then each case on Ray Serve."""
    report("1,000 queries/s over 10 million chunks, in simulated time")
    checks = list(check_simulated(paper_plan(), PAPER_S))
    with serve_cluster() as port:
        for case in cases:
            report(f"bottleneck {case.expected}: on Ray Serve")
            checks.append(check_on_ray(case, port, seconds))
    return checks


def check_simulated(plan: Plan, seconds: float) -> Iterator[Check]:
    """Latency at the target's rate; throughput with enough clients to saturate the plan."""
    target, name, replicas = plan.target, plan.limits[0].name, num_replicas(plan)
    offered = open_loop(plan.layout(), target.queries_per_s, seconds)
    yield Check(
        "at the target, simulated",
        name,
        replicas,
        target.queries_per_s,
        offered.per_s,
        plan.delay.p95_s,
        offered.p95_s,
    )
    saturated = closed_loop(plan.layout(), num_clients(plan), seconds)
    yield Check("saturated, simulated", name, replicas, plan.per_s, saturated.per_s)


def check_on_ray(case: Case, port: int, seconds: float) -> Check:
    """Throughput at saturation, through Serve's proxy on this port. Raises StageUnavailableError if a query fails."""
    plan, name = case.plan(), f"plan-{case.expected}"
    clients = num_clients(plan)
    # By Little's law a query takes clients / throughput; twice that until all stages are full.
    warm_s = 2 * clients / plan.per_s
    try:
        serve.run(plan_graph(plan), name=name, route_prefix=f"/{name}")
        with TemporaryDirectory() as folder:
            questions: list[dict[str, object]] = [{"query": f"question {number}"} for number in range(NUM_BODIES)]
            bodies = write_bodies(Path(folder) / "bodies.jsonl", questions)
            endpoint = Endpoint(port, f"/{name}{PATH}")
            endpoint.wait_until_it_answers(bodies)
            result = endpoint.drive(bodies, clients, seconds, warm_s)
    finally:
        serve.delete(name)
    return Check("saturated, Ray Serve", plan.limits[0].name, num_replicas(plan), plan.per_s, result.per_s)


def num_replicas(plan: Plan) -> int:
    return sum(stage.shards * stage.replicas for stage in plan.stages.values())


def num_clients(plan: Plan) -> int:
    """Enough for two full batches of every replica: one in computation, one that gathers."""
    return sum(2 * stage.replicas * stage.batch for stage in plan.stages.values())
