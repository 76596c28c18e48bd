"""Drain a node under load: of two Ray nodes on this machine, the one with every replica gets a SIGTERM.

`python -m tests.e2e.drained_node` prints the outcome as JSON. It needs its own process, because it drives its own
cluster. The environment is that of a pod in the manifests, with shorter periods.
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
from tests.e2e.steady_clients import SteadyClients, stream_request

ROOT = Path(__file__).parents[2]
LABEL = "ragserve/class"
NUM_CLIENTS, PAUSE_S = 8, 0.05
LIMIT_S = 240.0
DRAIN_S, DEREGISTER_S, GRACEFUL_S = 60, 3, 15
NUM_BEFORE, NUM_AFTER = 16, 16


def set_environment() -> None:
    """Set what Drain.environment() sets on every pod. Call it before Ray is imported."""
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
    """Start a worker node as KubeRay does, wait until it has joined, and kill its processes at the end.

    Ray gives a node 30 s to start. A busy machine may take longer, so the node is started again, as Kubernetes does.
    """
    num_expected = num_nodes() + 1
    process = start_node(address)
    try:
        end = time.monotonic() + LIMIT_S
        while num_nodes() < num_expected:
            if time.monotonic() > end:
                raise TimeoutError(f"the cluster did not reach {num_expected} nodes")
            if process.poll() is not None:
                process = start_node(address)
            time.sleep(0.2)
        yield process
    finally:
        if process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True)
            for running in (process, *children):
                running.kill()  # SIGTERM would start a drain
        process.wait()


def start_node(address: str) -> "subprocess.Popen[bytes]":
    ray_program = Path(sys.executable).with_name("ray")
    command = [ray_program, "start", "--block", f"--address={address}", "--num-cpus=3", f"--labels={LABEL}=cpu"]
    # Both nodes take their ports from the same machine.
    command += ["--object-store-memory=80000000", "--min-worker-port=0", "--max-worker-port=0"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr)


def num_nodes() -> int:
    import ray

    return sum(info["Alive"] for info in ray.nodes())


def nodes_of_replicas() -> dict[str, list[str]]:
    from ray.serve.context import _get_global_client

    running = _get_global_client().get_serve_details()["applications"]["drained"]["deployments"]
    return {name: [replica["node_id"] for replica in details["replicas"]] for name, details in running.items()}


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
            requests = [stream_request("stream", "/", {"query": "spring tide"})]
            with node(address), SteadyClients(f"http://127.0.0.1:{port}", requests, NUM_CLIENTS, PAUSE_S) as clients:
                clients.wait_for_more(NUM_BEFORE, LIMIT_S)
                first.send_signal(signal.SIGTERM)
                first.wait(LIMIT_S)
                num_drained = len(clients.outcomes)
                clients.wait_for_more(NUM_AFTER, LIMIT_S)
                after = nodes_of_replicas()
    return {
        "before": before,
        "after": after,
        "exit_code": first.returncode,
        "num_answers": len(clients.outcomes),
        "num_until_drained": num_drained,
        "failed": dict(Counter(f"{outcome.status} {outcome.problem}" for outcome in clients.failed)),
    }


if __name__ == "__main__":
    set_environment()
    print(json.dumps(run()))  # noqa: T201, the test reads it
