"""Changes by an operator under load: no request fails and no stream is cut.

Replicas are replaced one after another. The new replica runs before the old one stops (`max_surge_percent`).
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from ray.serve.context import _get_global_client

from deployments.cluster.environment import OWN_PORTS, free_port
from serve.cli.remote import RemoteService
from serve.cli.up.placement import SEARCHERS
from serve.config_file import read
from serve.config_models import STAGES
from tests.conftest import ROOT, START_TIMEOUT_S, Service
from tests.e2e.steady_clients import SteadyClients, json_request, stream_request
from tests.processes import command_line

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]

NUM_CLIENTS, PAUSE_S = 8, 0.3  # the pause leaves CPU time for replicas that start
NUM_BEFORE, NUM_AFTER = 24, 24
QUESTION = "When does the spring tide come?"
DRAINED_LIMIT_S = 600.0
# How long an ingress replica stays reachable after HAProxy's list has dropped it. Serve's default is 30 s, as in the
# manifests. The cluster of the tests shortens it to 0.
DEREGISTER = {"RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5"}
STOP_TIMEOUT_S = 120.0
REQUESTS = (
    json_request("query", "/v1/query", {"query": QUESTION}, lambda body: body["answer"] and body["citations"]),
    json_request(
        "search", "/v1/vector_stores/default/search", {"query": QUESTION}, lambda body: body["data"][0]["content"]
    ),
    stream_request(
        "chat",
        "/v1/chat/completions",
        {"model": "ragserve", "messages": [{"role": "user", "content": QUESTION}], "stream": True},
    ),
)


def ingest(url: str, folder: Path) -> None:
    path = folder / "upgrade-tides.md"
    path.write_text("# Spring tides\n\nThe spring tide comes twice a month, at full and at new moon.\n")
    with RemoteService(url) as remote:
        assert remote.ingest(path, "upgrade-tides.md", "default")[1].status == "completed"


@pytest.fixture
def clients(changing: Service, tmp_path: Path) -> Iterator[SteadyClients]:
    ingest(changing.url, tmp_path)
    with SteadyClients(changing.url, REQUESTS, NUM_CLIENTS, PAUSE_S) as steady:
        steady.wait_for_more(NUM_BEFORE, START_TIMEOUT_S)
        yield steady


def pids() -> dict[str, set[int]]:
    """The processes of each deployment's running replicas."""
    deployments = _get_global_client().get_serve_details()["applications"]["ragserve"]["deployments"]
    return {
        name: {replica["pid"] for replica in details["replicas"] if replica["state"] == "RUNNING"}
        for name, details in deployments.items()
    }


def all_complete(clients: SteadyClients) -> bool:
    """Whether no answer is degraded. Asserts that no request failed and that each kind of request was sent."""
    assert clients.failed == []
    assert {outcome.name for outcome in clients.outcomes} == {"query", "search", "chat"}
    return {outcome.degraded for outcome in clients.outcomes} == {()}


def test_numbers_and_user_config_change_in_place(changing: Service, clients: SteadyClients) -> None:
    before = pids()

    changing.deployment("Embedder")["user_config"]["max_batch_size"] = 7
    changing.deployment("LexicalSearcher")["autoscaling_config"]["target_ongoing_requests"] = 5
    changing.deployment("Reranker")["max_queued_requests"] = 100
    changing.apply()
    clients.wait_for_more(NUM_AFTER, START_TIMEOUT_S)

    assert pids() == before
    assert all_complete(clients)


def test_changed_args_and_code_replace_every_replica(tmp_path: Path) -> None:
    """The code changes in place, as by `git pull`. A changed line under `args` then restarts the replicas."""
    checkout = copy_checkout(tmp_path / "checkout")
    with running(checkout) as (url, process):
        ingest(url, tmp_path)
        with SteadyClients(url, REQUESTS, NUM_CLIENTS, PAUSE_S) as clients:
            clients.wait_for_more(NUM_BEFORE, START_TIMEOUT_S)
            before = replicas_of(process)
            source, file = checkout / "serve" / "api" / "health.py", checkout / "serve_config.yaml"
            source.write_text(source.read_text().replace('{"status": "ok"}', '{"status": "ok", "release": "next"}'))
            raw = read(file)
            raw["applications"][0]["args"]["coalescing"] = {"max_items": 40}
            file.write_text(yaml.safe_dump(raw))
            until(lambda: not before & replicas_of(process))
            clients.wait_for_more(NUM_AFTER, START_TIMEOUT_S)
        release = httpx.get(f"{url}/healthz", trust_env=False).json()["release"]

    assert len(before) >= len(STAGES) - len(SEARCHERS)  # on a small machine, these are in the ingress
    assert release == "next"
    assert all_complete(clients)


def copy_checkout(folder: Path) -> Path:
    """Copy this code and its deployment file."""
    for package in ("serve", "deployments", "models"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "serve_config.yaml", folder)
    return folder


@contextmanager
def running(checkout: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Run `ragserve up` in the folder; yields its URL and its process."""
    port, removed = free_port(), (*OWN_PORTS, *DEREGISTER, "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if name not in removed} | DEREGISTER
    command = [sys.executable, "-m", "serve.cli", "up", "--port", str(port)]
    with (checkout / "up.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=log, stderr=log)
    try:
        with RemoteService(f"http://127.0.0.1:{port}") as remote:
            remote.wait_until_ready(START_TIMEOUT_S)
        yield remote.url, psutil.Process(process.pid)
        descendants = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_TIMEOUT_S) == 0
        assert psutil.wait_procs(descendants, STOP_TIMEOUT_S)[1] == []
    finally:
        process.kill()
        process.wait()


def replicas_of(process: psutil.Process) -> set[psutil.Process]:
    """The replicas among the descendants of the process."""
    children = process.children(recursive=True)
    return {child for child in children if command_line(child).startswith("ray::ServeReplica:")}


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_drained_node_interrupts_nothing() -> None:
    """A node gets SIGTERM, as a pod from Kubernetes. Its replicas finish their requests and start on another node."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    completed = subprocess.run(
        [sys.executable, "-m", "tests.e2e.drained_node"],
        cwd=ROOT,
        env={name: value for name, value in environment.items() if not name.startswith("RAY_")},
        capture_output=True,
        text=True,
        timeout=DRAINED_LIMIT_S,
        check=False,
    )

    assert completed.returncode == 0, completed.stderr[-3000:]
    report: dict[str, Any] = json.loads(completed.stdout.splitlines()[-1])
    assert report["failed"] == {}
    assert report["num_answers"] > report["num_until_drained"] > 0
    assert {len(nodes) for nodes in report["after"].values()} == {1}
    assert not {node for nodes in report["before"].values() for node in nodes} & {
        node for nodes in report["after"].values() for node in nodes
    }
