"""`ragserve bench settings`: what each setting of ours is worth on a composed graph, by leaving it out.

The graph is that of `ragserve bench tax`: an ingress and two echo stages through our clients. Ray Serve reads most of
its settings when it is imported, so every variant has a process and a cluster of its own, one after the other; the
settings as shipped are measured first and last, and what lies between those two is the noise.
`python -m serve.cli.bench.tax.settings` measures one, a Job as JSON on its standard input.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from serve.cli.driver.closed_loop import LoadResult

HEAD = "| variant | clients | req/s | of as shipped | p50/p99 ms |\n|---|---|---|---|---|"
TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Variant:
    """What is otherwise than as shipped."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    max_items: int | None = None  # of a message; None: as shipped
    num_ingresses: int = 1
    is_inline: bool = False
    logs_requests: bool = False


AS_SHIPPED = Variant("as shipped")
VARIANTS = (
    AS_SHIPPED,
    Variant("Serve's Python proxy in place of HAProxy", {"RAY_SERVE_ENABLE_HA_PROXY": "0"}),
    Variant("without throughput mode", {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "0"}),
    Variant("throughput mode, calls by actor in place of gRPC", {"RAY_SERVE_USE_GRPC_BY_DEFAULT": "0"}),
    Variant("access log, at once", logs_requests=True),
    Variant("access log, buffered by Serve", {"RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000"}, logs_requests=True),
    Variant("a message a call", max_items=1),
    Variant("two ingress replicas", num_ingresses=2),
    Variant("both stages inline", is_inline=True),
    Variant("as shipped, again"),
)


@dataclass(frozen=True)
class Job:
    """One variant, and how it is measured."""

    variant: Variant
    clients: tuple[int, ...]
    turn_s: float
    num_turns: int
    body_bytes: int


@dataclass(frozen=True)
class SettingsRow:
    """A variant at one number of clients; `first` is the first run as shipped."""

    variant: str
    clients: int
    result: LoadResult
    first: LoadResult

    def line(self) -> str:
        times = f"{self.result.p50_s * 1e3:.1f} / {self.result.p99_s * 1e3:.1f}"
        ratio = self.result.per_s / self.first.per_s
        return f"| {self.variant} | {self.clients} | {self.result.per_s:,.0f} | {ratio:.2f} | {times} |"


def run(jobs: list[Job], say: Callable[[str], None]) -> Iterator[SettingsRow]:
    """A row a variant and number of clients, as soon as they are measured; the first job is what others compare with.

    Raises RuntimeError with the end of what a variant's process said if it fails.
    """
    first: dict[int, LoadResult] = {}
    for job in jobs:
        say(job.variant.name)
        for clients, result in _measured(job).items():
            yield SettingsRow(job.variant.name, clients, result, first.setdefault(clients, result))


def _measured(job: Job) -> dict[int, LoadResult]:
    ran = subprocess.run(
        [sys.executable, "-m", "serve.cli.bench.tax.settings"],
        input=json.dumps(asdict(job)),
        env=os.environ | job.variant.environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if ran.returncode != 0:
        raise RuntimeError(f"{job.variant.name}: {ran.stderr[-2000:]}")
    found = json.loads(ran.stdout.splitlines()[-1])
    return {int(clients): LoadResult(**result) for clients, result in found.items()}


def measure(job: Job) -> dict[int, LoadResult]:
    """In this process, which has imported nothing of Ray yet: a cluster, the graph, and turns of the load."""
    from deployments.cluster import environment

    environment.apply()
    from serve.cli.bench.tax.run import TaxPlan, medians, warm_up, write_bodies

    plan = TaxPlan(job.clients, job.turn_s, job.num_turns, job.body_bytes)
    with TemporaryDirectory() as temporary, _graph(job.variant) as target:
        bodies = write_bodies(plan, Path(temporary))
        warm_up(target, bodies)
        return {clients: medians({"it": target}, bodies, clients, plan)["it"] for clients in job.clients}


@contextmanager
def _graph(variant: Variant) -> Iterator[tuple[int, str]]:
    """The application, and the port and the path that it answers at."""
    from ray import serve
    from ray.serve.schema import LoggingConfig

    from deployments.calls.coalescer import AS_SHIPPED as COALESCING
    from deployments.calls.inline import InlineStage
    from deployments.cluster import environment
    from deployments.cluster.start import ClusterSize, local_cluster
    from serve.cli.bench.tax.apps import PATH, Echo, OurIngress
    from serve.cli.bench.tax.run import HOST, replica

    port = environment.free_port()
    level = "INFO" if variant.logs_requests else "WARNING"
    logs = LoggingConfig(log_level=level, enable_access_log=variant.logs_requests)
    changed = {} if variant.max_items is None else {"max_items": variant.max_items}
    coalescing = COALESCING.model_copy(update=changed)
    with local_cluster(ClusterSize(num_cpus=4)):
        serve.start(proxy_location="HeadOnly", http_options={"host": HOST, "port": port}, logging_config=logs)
        place = (
            (lambda _: InlineStage(Echo, (), {})) if variant.is_inline else (lambda name: replica(Echo, name).bind())
        )
        stages = [place(name) for name in ("first", "second")]
        ingress = replica(OurIngress, "ingress", variant.num_ingresses)
        serve.run(ingress.bind(*stages, coalescing), name="ours", route_prefix="/ours")
        yield port, f"/ours{PATH}"


if __name__ == "__main__":
    wanted = json.load(sys.stdin)
    job = Job(**(wanted | {"variant": Variant(**wanted["variant"])}))
    sys.stdout.write(json.dumps({clients: asdict(result) for clients, result in measure(job).items()}) + "\n")
