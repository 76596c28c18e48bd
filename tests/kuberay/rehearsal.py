"""Send load to one stage, then to another, then stop it; record the nodes and the result of each request."""

import asyncio
import os
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import ray

from deployments.cluster.start import deploy, wait_until_running
from serve.cli.kubernetes.render import CLASS_LABEL
from tests.kuberay.conftest import serve_config_of
from tests.kuberay.ray_cluster import HEAD_POD, NAME, NAMESPACE, Kubelet, RayCluster, operator
from tests.kuberay.rehearsed_service import on_this_machine, rendered
from tests.kuberay.stand_in import LOOPBACK, api_server

LIMIT_S = 150.0  # per wait; the machine may be busy
POLL_S = 0.2
EMBED, GENERATE = "/Embedder", "/Generator"

Nodes = dict[str, int]


@dataclass
class Report:
    """Nodes by class at each step and when it was reached, requests and failures, and groups of deleted pods."""

    nodes: dict[str, Nodes] = field(default_factory=dict)
    reached_s: dict[str, float] = field(default_factory=dict)
    num_requests: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)


class Load:
    """Clients of the application. Every request is awaited and counted."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.num_requests: Counter[str] = Counter()
        self.failures: list[str] = []
        self.node_ids: defaultdict[str, set[str]] = defaultdict(set)  # nodes that answered, by path

    @asynccontextmanager
    async def clients(self, path: str, count: int) -> AsyncIterator[None]:
        """Run `count` clients in a closed loop until the block ends."""
        stopped = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(self._ask_until(stopped, path))
            try:
                yield
            finally:
                stopped.set()

    async def _ask_until(self, stopped: asyncio.Event, path: str) -> None:
        while not stopped.is_set():
            self.num_requests[path] += 1
            try:
                response = await self._http.get(path)
                response.raise_for_status()
            except httpx.HTTPError as error:
                self.failures.append(f"{path}: {error!r}")
            else:
                self.node_ids[path].add(response.json()["node_id"])


class Rehearsal:
    """The scenario, on the running application."""

    def __init__(self, cluster: RayCluster, load: Load) -> None:
        self._cluster = cluster
        self._load = load
        self._start_s = time.monotonic()
        self.report = Report()

    async def run(self) -> Report:
        """One client stays until the end, so that replicas and nodes are removed under load."""
        load = self._load
        async with load.clients(EMBED, 1):
            await self._reach("before", lambda: self._settled() and bool(load.node_ids[EMBED]))
            async with load.clients(EMBED, 8):
                await self._reach("load on embedding", lambda: self._settled() and len(load.node_ids[EMBED]) > 1)
                async with load.clients(GENERATE, 2):
                    await self._reach("and on generation", lambda: self._settled() and bool(load.node_ids[GENERATE]))
            before = self.report.nodes["before"]
            await self._reach("after", lambda: self._settled() and nodes_by_class() == before)
        self.report.num_requests = dict(load.num_requests)
        self.report.failures, self.report.deleted = load.failures, self._cluster.deleted
        return self.report

    def _settled(self) -> bool:
        """Whether Ray's nodes match the pods: none is starting or stopping."""
        return nodes_by_class() == self._cluster.num_pods()

    async def _reach(self, name: str, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + LIMIT_S
        while not condition():
            if time.monotonic() > end:
                state = f"pods {self._cluster.num_pods()}, nodes {nodes_by_class()}, failures {self._load.failures[:3]}"
                raise TimeoutError(f"not reached in {LIMIT_S:g} s: {name}; {state}")
            await asyncio.sleep(POLL_S)
        self.report.nodes[name] = nodes_by_class()
        self.report.reached_s[name] = round(time.monotonic() - self._start_s, 1)


def nodes_by_class() -> Nodes:
    """Ray's live nodes, without the head."""
    labels = [node["Labels"].get(CLASS_LABEL) for node in ray.nodes() if node["Alive"]]
    counted = Counter(label for label in labels if label is not None)
    return {name: counted[name] for name in ("cpu", "embedding", "generation")}


@contextmanager
def autoscaler(gcs_address: str, variables: dict[str, str], folder: Path) -> Iterator[None]:
    """Ray's autoscaler, started as KubeRay starts it in the head pod."""
    names = ["--cluster-name", NAME, "--cluster-namespace", NAMESPACE, "--gcs-address", gcs_address]
    with (folder / "autoscaler.log").open("wb") as log:
        process = subprocess.Popen(
            ["ray", "kuberay-autoscaler", *names], env=os.environ | variables, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def rehearse(folder: Path) -> dict[str, Any]:
    """Run the scenario on a new cluster; its logs go to `folder`. Raises TimeoutError."""
    service = rendered(folder)
    serve_config = on_this_machine(serve_config_of(service))
    kubelet, cluster = _start_head(service["spec"]["rayClusterConfig"], folder)
    try:
        with (
            api_server(cluster, folder) as variables,
            operator(cluster),
            autoscaler(kubelet.gcs_address, variables, folder),
        ):
            return asdict(_run_application(cluster, kubelet, serve_config))
    finally:
        cluster.kill()


def _run_application(cluster: RayCluster, kubelet: Kubelet, serve_config: dict[str, Any]) -> Report:
    _connect(kubelet)
    try:
        deploy(serve_config)
        wait_until_running(serve_config["applications"][0]["name"], LIMIT_S)
        return asyncio.run(_rehearse_at(cluster, f"http://{LOOPBACK}:{serve_config['http_options']['port']}"))
    finally:
        ray.shutdown()


def _connect(kubelet: Kubelet) -> None:
    """Try again until it works: Ray gives up after half a minute."""
    address = {"address": kubelet.gcs_address, "_node_ip_address": kubelet.head_address}
    end = time.monotonic() + LIMIT_S
    while not ray.is_initialized():
        try:
            ray.init(**address, log_to_driver=False, logging_level="warning")
        except ConnectionError:
            if time.monotonic() > end:
                raise


async def _rehearse_at(cluster: RayCluster, url: str) -> Report:
    async with httpx.AsyncClient(base_url=url, timeout=LIMIT_S) as http:
        return await Rehearsal(cluster, Load(http)).run()


def _start_head(spec: dict[str, Any], folder: Path) -> tuple[Kubelet, RayCluster]:
    """Start a head, several times if needed: `ray start` gives up if its raylet takes half a minute."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        kubelet = Kubelet(folder)
        cluster = RayCluster(spec, kubelet.start)
        while not cluster.head_has_ended and time.monotonic() < end:
            if "Ray runtime started" in (folder / f"{HEAD_POD}.log").read_text(errors="replace"):
                return kubelet, cluster
            time.sleep(POLL_S)
        cluster.kill()
    raise TimeoutError(f"no head after {LIMIT_S:g} s")
