"""`ragserve bench tax`: what Ray Serve costs a composed graph, and what our clients give back of it.

Side by side in one run: a bare uvicorn server, an ingress alone, a graph of an ingress and two echo stages written
plainly on Ray Serve, and the same graph through our stage clients. Every one has a process a part; all of them, the
proxy and the load share the machine's cores, so only ratios within a row say something.
"""

import json
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from ray import serve
from ray.serve.schema import LoggingConfig

from deployments.cluster import environment
from deployments.cluster.start import ClusterSize, local_cluster
from models.errors import StageUnavailableError
from serve.cli.bench.tax.apps import PATH, Echo, LoneIngress, OurIngress, PlainIngress
from serve.cli.driver.closed_loop import Load, LoadResult, drive

HOST = "127.0.0.1"
START_S = 60.0
NUM_BODIES = 64
MAX_ONGOING = 1_000
# As the deployment file has it; a line in a log for every request costs every server the same.
QUIET = LoggingConfig(log_level="WARNING", enable_access_log=False)
# Of plain Ray Serve's throughput at 64 clients; at one client ours is to be no slower.
ENOUGH_AT_64 = 3.0
HEAD = (
    "| clients | uvicorn req/s | ingress alone req/s | plain req/s | ours req/s | ours / plain "
    "| plain p50/p99 ms | ours p50/p99 ms |\n|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class TaxPlan:
    """What to measure: numbers of clients, the length of a turn, the turns of each, the size of a body."""

    clients: tuple[int, ...]
    turn_s: float
    num_turns: int
    body_bytes: int


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
        short = " (short)" if self.clients == 64 and self.ratio < ENOUGH_AT_64 else ""
        cells = [f"{server.per_s:,.0f}" for server in servers] + [f"{self.ratio:.2f}{short}"]
        cells += [f"{server.p50_s * 1e3:.1f} / {server.p99_s * 1e3:.1f}" for server in (self.plain, self.ours)]
        return f"| {self.clients} | {' | '.join(cells)} |"


def run(plan: TaxPlan, folder: Path, say: Callable[[str], None]) -> Iterator[TaxRow]:
    """A row a number of clients, as soon as it is measured. Turns of the servers alternate, and medians count.

    Raises StageUnavailableError if a server does not start or answers with errors.
    """
    bodies = write_bodies(plan, folder)
    with _uvicorn() as port, _graphs() as serve_port:
        targets = {
            "uvicorn": (port, PATH),
            "lone": (serve_port, f"/lone{PATH}"),
            "plain": (serve_port, f"/plain{PATH}"),
            "ours": (serve_port, f"/ours{PATH}"),
        }
        for target in targets.values():
            warm_up(target, bodies)
        for clients in plan.clients:
            say(f"{clients} clients")
            yield TaxRow(clients, **medians(targets, bodies, clients, plan))


def medians(targets: Mapping[str, tuple[int, str]], bodies: Path, clients: int, plan: TaxPlan) -> dict[str, LoadResult]:
    """The median turn of each target, a port and a path; they take turns."""
    turns: dict[str, list[LoadResult]] = {name: [] for name in targets}
    for _ in range(plan.num_turns):
        for name, target in targets.items():
            turns[name].append(_turn(target, bodies, clients, plan.turn_s))
    return {name: _median(results) for name, results in turns.items()}


def write_bodies(plan: TaxPlan, folder: Path) -> Path:
    """What the clients send, a body a line."""
    bodies = folder / "bodies.jsonl"
    texts = (_text(number, plan.body_bytes) for number in range(NUM_BODIES))
    bodies.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return bodies


def warm_up(target: tuple[int, str], bodies: Path) -> None:
    """Returns once it answers, and has answered for a second."""
    _wait_until_it_answers(*target)
    _turn(target, bodies, clients=8, seconds=1.0)


def _turn(target: tuple[int, str], bodies: Path, clients: int, seconds: float) -> LoadResult:
    port, path = target
    result = drive(Load(HOST, port, path, str(bodies), clients, seconds))
    if result.errors:
        raise StageUnavailableError(f"{path}: {result.messages[0]}")
    return result


def _median(results: list[LoadResult]) -> LoadResult:
    middle = statistics.median_low([result.per_s for result in results])
    return next(result for result in results if result.per_s == middle)


def _text(number: int, size: int) -> str:
    return f"{number:04d}" + "x" * max(0, size - 4)


@contextmanager
def _graphs() -> Iterator[int]:
    """The three applications on Ray Serve, behind its proxy on the port given."""
    port = environment.free_port()
    with local_cluster(ClusterSize(num_cpus=4)):
        serve.start(proxy_location="HeadOnly", http_options={"host": HOST, "port": port}, logging_config=QUIET)
        for name, ingress in (("plain", PlainIngress), ("ours", OurIngress)):
            stages = [replica(Echo, f"{name}-{stage}").bind() for stage in ("first", "second")]
            serve.run(replica(ingress, f"{name}-ingress").bind(*stages), name=name, route_prefix=f"/{name}")
        serve.run(replica(LoneIngress, "lone-ingress").bind(), name="lone", route_prefix="/lone")
        yield port


def replica(kind: type, name: str, num_replicas: int = 1) -> serve.Deployment:
    options = {"max_ongoing_requests": MAX_ONGOING, "ray_actor_options": {"num_cpus": 0.1}}
    return serve.deployment(kind, name=name, num_replicas=num_replicas, logging_config=QUIET, **options)


@contextmanager
def _uvicorn() -> Iterator[int]:
    """The bare server, in a process of its own."""
    port = environment.free_port()
    options = ["--factory", "--host", HOST, "--port", str(port), "--log-level", "warning", "--no-access-log"]
    server = subprocess.Popen([sys.executable, "-m", "uvicorn", "serve.cli.bench.tax.apps:bare_app", *options])
    try:
        yield port
    finally:
        server.terminate()
        server.wait(timeout=START_S)


def _wait_until_it_answers(port: int, path: str) -> None:
    request = urllib.request.Request(
        f"http://{HOST}:{port}{path}", b'{"text": "ready?"}', {"content-type": "application/json"}
    )
    end = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(request, timeout=START_S).close()
            return
        except (URLError, OSError) as error:
            if time.monotonic() > end:
                raise StageUnavailableError(f"{path}: {error}") from None
            time.sleep(0.1)
