"""`ragserve bench tax`: what Ray Serve costs a composed graph, and what our clients give back of it.

Side by side in one run: a bare uvicorn server, an ingress alone, a graph of an ingress and two echo stages written
plainly on Ray Serve, and the same graph through our stage clients. Every stage has its own process. All of them, the
proxy and the load share the machine's cores, so compare only within a row.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ray import serve

from serve.cli.bench.tax.apps import PATH, LoneIngress, OurIngress, PlainIngress
from serve.cli.bench.tax.plan import TaxPlan
from serve.cli.driver.closed_loop import LoadResult
from serve.cli.driver.serve_graph import Endpoint, deployment, serve_cluster
from serve.cli.driver.servers import HOST, Launch, running
from serve.cli.driver.simulated_stages import EchoStage
from serve.cli.driver.turns import median_result

# Of plain Ray Serve's throughput at 64 clients; at one client ours is to be no slower.
MIN_RATIO_AT_64 = 3.0
HEAD = (
    "| clients | uvicorn req/s | ingress alone req/s | plain req/s | ours req/s | ours / plain "
    "| plain p50/p99 ms | ours p50/p99 ms |\n|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class TaxRow:
    """One number of clients: the median turn of each server."""

    clients: int
    uvicorn: LoadResult
    lone: LoadResult
    plain: LoadResult
    ours: LoadResult

    @property
    def ratio(self) -> float:
        return self.ours.per_s / self.plain.per_s

    def line(self) -> str:
        servers = (self.uvicorn, self.lone, self.plain, self.ours)
        short = " (short)" if self.clients == 64 and self.ratio < MIN_RATIO_AT_64 else ""
        cells = [f"{server.per_s:,.0f}" for server in servers] + [f"{self.ratio:.2f}{short}"]
        cells += [f"{server.p50_s * 1e3:.1f} / {server.p99_s * 1e3:.1f}" for server in (self.plain, self.ours)]
        return f"| {self.clients} | {' | '.join(cells)} |"


def run(plan: TaxPlan, folder: Path, report: Callable[[str], None]) -> Iterator[TaxRow]:
    """A row a number of clients, as soon as it is measured. The servers take turns, and the median turn counts.

    Raises StageUnavailableError if a server does not start or answers with errors.
    """
    bodies = plan.write_bodies(folder)
    with running(_uvicorn(), folder, threads=1) as uvicorn, _graphs() as port:
        endpoints = {
            "uvicorn": Endpoint(uvicorn.port, PATH),
            "lone": Endpoint(port, f"/lone{PATH}"),
            "plain": Endpoint(port, f"/plain{PATH}"),
            "ours": Endpoint(port, f"/ours{PATH}"),
        }
        for endpoint in endpoints.values():
            endpoint.warm_up(bodies)
        for clients in plan.clients:
            report(f"{clients} clients")
            yield TaxRow(clients, **median_turns(endpoints, bodies, clients, plan))


def median_turns(endpoints: Mapping[str, Endpoint], bodies: Path, clients: int, plan: TaxPlan) -> dict[str, LoadResult]:
    """The median turn of each endpoint, by name. They take turns; all are warm already."""
    turns: dict[str, list[LoadResult]] = {name: [] for name in endpoints}
    for _ in range(plan.num_turns):
        for name, endpoint in endpoints.items():
            turns[name].append(endpoint.drive(bodies, clients, plan.turn_s))
    return {name: median_result(results) for name, results in turns.items()}


@contextmanager
def _graphs() -> Iterator[int]:
    """The three applications on Ray Serve; the port of its proxy."""
    with serve_cluster() as port:
        for name, ingress in (("plain", PlainIngress), ("ours", OurIngress)):
            stages = [deployment(EchoStage, f"{name}-{stage}").bind() for stage in ("first", "second")]
            serve.run(deployment(ingress, f"{name}-ingress").bind(*stages), name=name, route_prefix=f"/{name}")
        serve.run(deployment(LoneIngress, "lone-ingress").bind(), name="lone", route_prefix="/lone")
        yield port


def _uvicorn() -> Launch:
    """The bare server; its documentation page answers without a body."""
    command = [sys.executable, "-m", "uvicorn", "serve.cli.bench.tax.apps:bare_app", "--factory", "--host", HOST]
    return Launch("uvicorn", [*command, "--port", "{port}", "--log-level", "warning", "--no-access-log"], "/docs")
