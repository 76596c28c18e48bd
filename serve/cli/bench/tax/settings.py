"""`ragserve bench settings`: the effect of each of our settings on a composed graph, measured without that setting.

The graph is that of `ragserve bench tax`: an ingress and two echo stages through our clients. Ray Serve reads most of
its settings when it is imported, so every variant has a process and a cluster of its own, one after the other. The
settings as shipped are measured first and last; the difference between those two is the noise.
`python -m serve.cli.bench.tax.settings` measures one Job, as JSON on its standard input.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from serve.cli.bench.tax.plan import TaxPlan
from serve.cli.driver.closed_loop import LoadResult
from serve.cli.driver.module_process import run_module

if TYPE_CHECKING:
    from serve.cli.driver.serve_graph import Endpoint

HEAD = "| variant | clients | req/s | of as shipped | p50/p99 ms |\n|---|---|---|---|---|"
TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Variant:
    """The differences from the settings as shipped. `max_items` of a message; None: as shipped."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    max_items: int | None = None
    num_ingresses: int = 1
    is_inline: bool = False
    logs_requests: bool = False


AS_SHIPPED = Variant("as shipped")
PYTHON_PROXY = Variant("Serve's Python proxy in place of HAProxy", {"RAY_SERVE_ENABLE_HA_PROXY": "0"})
INLINE = Variant("both stages inline", is_inline=True)
VARIANTS = (
    AS_SHIPPED,
    PYTHON_PROXY,
    Variant("without throughput mode", {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "0"}),
    Variant("throughput mode, calls by actor in place of gRPC", {"RAY_SERVE_USE_GRPC_BY_DEFAULT": "0"}),
    Variant("access log, at once", logs_requests=True),
    Variant("access log, buffered by Serve", {"RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000"}, logs_requests=True),
    Variant("a message a call", max_items=1),
    Variant("two ingress replicas", num_ingresses=2),
    INLINE,
    Variant("as shipped, again"),
)
QUICK_VARIANTS = (AS_SHIPPED, PYTHON_PROXY, INLINE)


@dataclass(frozen=True)
class Job:
    """One variant, and how it is measured."""

    variant: Variant
    plan: TaxPlan

    @staticmethod
    def of_json(raw: Any) -> "Job":
        return Job(Variant(**raw["variant"]), TaxPlan(**raw["plan"]))


@dataclass(frozen=True)
class SettingsRow:
    """A variant at one number of clients; `shipped` is the first run of the settings as shipped."""

    variant: str
    clients: int
    result: LoadResult
    shipped: LoadResult

    def line(self) -> str:
        times = f"{self.result.p50_s * 1e3:.1f} / {self.result.p99_s * 1e3:.1f}"
        ratio = self.result.per_s / self.shipped.per_s
        return f"| {self.variant} | {self.clients} | {self.result.per_s:,.0f} | {ratio:.2f} | {times} |"


def run(jobs: list[Job], report: Callable[[str], None]) -> Iterator[SettingsRow]:
    """A row a variant and number of clients, as soon as they are measured. The others are compared with the first job.

    Raises RuntimeError with the end of its standard error if the process of a variant fails.
    """
    shipped: dict[int, LoadResult] = {}
    for job in jobs:
        report(job.variant.name)
        results = run_module("serve.cli.bench.tax.settings", asdict(job), TIMEOUT_S, job.variant.environment)
        for clients, raw in results.items():
            result = LoadResult(**raw)
            yield SettingsRow(job.variant.name, int(clients), result, shipped.setdefault(int(clients), result))


def measure(job: Job) -> dict[int, LoadResult]:
    """In this process, which has not imported Ray yet: a cluster, the graph, and turns of the load."""
    from serve.cli.driver import ray_settings

    ray_settings.apply()
    from serve.cli.bench.tax.run import median_turns

    with TemporaryDirectory() as temporary, _graph(job.variant) as endpoint:
        bodies = job.plan.write_bodies(Path(temporary))
        endpoint.warm_up(bodies)
        return {
            clients: median_turns({"ours": endpoint}, bodies, clients, job.plan)["ours"] for clients in job.plan.clients
        }


@contextmanager
def _graph(variant: Variant) -> Iterator["Endpoint"]:
    """The application of a variant."""
    from ray import serve
    from ray.serve.schema import LoggingConfig

    from deployments.calls.coalescer import AS_SHIPPED as COALESCING
    from deployments.calls.inline import InlineStage
    from serve.cli.bench.tax.apps import PATH, OurIngress
    from serve.cli.driver.serve_graph import Endpoint, deployment, serve_cluster
    from serve.cli.driver.simulated_stages import EchoStage

    level = "INFO" if variant.logs_requests else "WARNING"
    logs = LoggingConfig(log_level=level, enable_access_log=variant.logs_requests)
    changes = {} if variant.max_items is None else {"max_items": variant.max_items}
    coalescing = COALESCING.model_copy(update=changes)
    with serve_cluster(logs) as port:
        stages: list[Any] = [
            InlineStage(EchoStage, (), {}) if variant.is_inline else deployment(EchoStage, name).bind()
            for name in ("first", "second")
        ]
        ingress = deployment(OurIngress, "ingress", variant.num_ingresses)
        serve.run(ingress.bind(*stages, coalescing), name="ours", route_prefix="/ours")
        yield Endpoint(port, f"/ours{PATH}")


def main() -> None:
    job = Job.of_json(json.load(sys.stdin))
    sys.stdout.write(json.dumps({clients: asdict(result) for clients, result in measure(job).items()}) + "\n")


if __name__ == "__main__":
    main()
