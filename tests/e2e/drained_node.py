"""Two nodes of a Ray cluster on this machine; the one that holds every replica gets a SIGTERM while clients ask.

`python -m tests.e2e.drained_node` prints what it saw as JSON. A process of its own: the driver of a cluster of its own,
with the environment that the manifests give to a pod, but for shorter periods.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from deployments.cluster import environment
from tests.e2e.steady_clients import SteadyClients, streamed

ROOT = Path(__file__).parents[2]
LABEL = "ragserve/class"
NUM_CLIENTS, PAUSE_S = 8, 0.05
LIMIT_S = 240.0
DRAIN_S, DEREGISTER_S, GRACEFUL_S = 60, 3, 15
NUM_BEFORE, NUM_AFTER = 16, 16


def set_environment() -> None:
    """Before Ray is imported; as Drain.environment() has it on every pod."""
    os.environ |= {
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
        "PYTHONPATH": str(ROOT),
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(DRAIN_S),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(DEREGISTER_S),
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": str(DEREGISTER_S),
    }
    environment.apply()


def config(port: int) -> dict[str, Any]:
    placed = {"num_cpus": 1, "label_selector": {LABEL: "cpu"}}
    shared = {"num_replicas": 1, "graceful_shutdown_timeout_s": GRACEFUL_S, "ray_actor_options": placed}
    deployments = [{"name": name, "max_ongoing_requests": 64, **shared} for name in ("Ingress", "Search", "Generate")]
    return {
        "proxy_location": "HeadOnly",
        "http_options": {"host": "127.0.0.1", "port": port, "request_timeout_s": 60},
        "applications": [
            {
                "name": "drained",
                "route_prefix": "/",
                "import_path": "tests.e2e.drained_graph:build",
                "deployments": deployments,
            }
        ],
    }


@contextmanager
def node(address: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker node as KubeRay starts one, once it has joined; nothing of it is left afterwards.

    Ray gives a node 30 s to start, which a busy machine may exceed: Kubernetes would start the pod again.
    """
    wanted = num_nodes() + 1
    process = start_node(address)
    try:
        end = time.monotonic() + LIMIT_S
        while num_nodes() < wanted:
            if time.monotonic() > end:
                raise TimeoutError(f"there are not {wanted} nodes")
            if process.poll() is not None:
                process = start_node(address)
            time.sleep(0.2)
        yield process
    finally:
        if process.poll() is None:
            started = psutil.Process(process.pid).children(recursive=True)
            for one in (process, *started):
                one.kill()  # not asked to end: that would be a drain
        process.wait()


def start_node(address: str) -> "subprocess.Popen[bytes]":
    ray_program = Path(sys.executable).with_name("ray")
    command = [ray_program, "start", "--block", f"--address={address}", "--num-cpus=3", f"--labels={LABEL}=cpu"]
    # Nodes of one machine share its ports.
    command += ["--object-store-memory=80000000", "--min-worker-port=0", "--max-worker-port=0"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr)


def num_nodes() -> int:
    import ray

    return sum(one["Alive"] for one in ray.nodes())


def nodes_of_replicas() -> dict[str, list[str]]:
    from ray.serve.context import _get_global_client

    running = _get_global_client().get_serve_details()["applications"]["drained"]["deployments"]
    return {name: [replica["node_id"] for replica in one["replicas"]] for name, one in running.items()}


def run() -> dict[str, Any]:
    import ray

    from deployments.cluster.start import ClusterSize, deploy, local_cluster, wait_until_running

    port = environment.free_port()
    with local_cluster(ClusterSize(num_cpus=0, object_store_bytes=80_000_000)):
        address = ray.get_runtime_context().gcs_address
        with node(address) as first:
            deploy(config(port))
            wait_until_running("drained", LIMIT_S)
            before = nodes_of_replicas()
            asks = [streamed("stream", "/", {"query": "spring tide"})]
            with node(address), SteadyClients(f"http://127.0.0.1:{port}", asks, NUM_CLIENTS, PAUSE_S) as clients:
                clients.until_more(NUM_BEFORE, LIMIT_S)
                first.send_signal(signal.SIGTERM)
                first.wait(LIMIT_S)
                num_drained = len(clients.outcomes)
                clients.until_more(NUM_AFTER, LIMIT_S)
                after = nodes_of_replicas()
    return {
        "before": before,
        "after": after,
        "exit_code": first.returncode,
        "num_answers": len(clients.outcomes),
        "num_until_drained": num_drained,
        "failed": dict(Counter(f"{one.status} {one.problem}" for one in clients.failed)),
    }


if __name__ == "__main__":
    set_environment()
    print(json.dumps(run()))  # noqa: T201, what the test reads
