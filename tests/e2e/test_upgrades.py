"""What an operator changes under load, while steady clients ask: no request fails, no stream is cut.

Every replica is replaced, one after the other: the new one is there before the old one goes (`max_surge_percent`).
"""

import contextlib
import json
import os
import shutil
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
from serve.config_file import STAGES, read
from tests.conftest import ROOT, START_TIMEOUT_S, Service, put_back_afterwards
from tests.e2e.steady_clients import SteadyClients, posted, streamed

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]

NUM_CLIENTS, PAUSE_S = 8, 0.3  # the pause leaves the cores to the replicas that start
NUM_BEFORE, NUM_AFTER = 24, 24
QUESTION = "When does the spring tide come?"
DRAINED_LIMIT_S = 600.0
# A replica of the ingress stays reachable for so long after it was taken off HAProxy's list. Serve's own is 30 s, which
# the session's cluster shortens to nothing; the manifests have 30 s again.
DEREGISTER = {"env_vars": {"RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5"}}
STOP_TIMEOUT_S = 120.0
ASKS = (
    posted("query", "/v1/query", {"query": QUESTION}, lambda body: body["answer"] and body["citations"]),
    posted("search", "/v1/vector_stores/default/search", {"query": QUESTION}, lambda body: body["data"][0]["content"]),
    streamed(
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


@pytest.fixture(scope="module")
def rolling(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service, whose ingress takes the time to leave HAProxy's list."""
    ingest(service.url, tmp_path_factory.mktemp("upgrades"))
    with put_back_afterwards(service):
        service.deployment("Ingress")["ray_actor_options"]["runtime_env"] = DEREGISTER
        service.apply()
        yield service


@pytest.fixture
def clients(rolling: Service) -> Iterator[SteadyClients]:
    with SteadyClients(rolling.url, ASKS, NUM_CLIENTS, PAUSE_S) as asking:
        asking.until_more(NUM_BEFORE, START_TIMEOUT_S)
        yield asking


def pids() -> dict[str, set[int]]:
    """The processes of each deployment's running replicas."""
    deployments = _get_global_client().get_serve_details()["applications"]["ragserve"]["deployments"]
    return {
        name: {replica["pid"] for replica in one["replicas"] if replica["state"] == "RUNNING"}
        for name, one in deployments.items()
    }


def is_whole(clients: SteadyClients) -> bool:
    """Whether every answer was, from the first one on; each kind of request was among them."""
    assert clients.failed == []
    assert {outcome.name for outcome in clients.outcomes} == {"query", "search", "chat"}
    return {outcome.degraded for outcome in clients.outcomes} == {()}


def test_numbers_and_user_config_change_in_place(rolling: Service, clients: SteadyClients) -> None:
    before = pids()

    rolling.deployment("Embedder")["user_config"]["max_batch_size"] = 7
    rolling.deployment("LexicalSearcher")["autoscaling_config"]["target_ongoing_requests"] = 5
    rolling.deployment("Reranker")["max_queued_requests"] = 100
    rolling.apply()
    clients.until_more(NUM_AFTER, START_TIMEOUT_S)

    assert pids() == before
    assert is_whole(clients)


def test_changed_args_replace_every_replica(rolling: Service, clients: SteadyClients) -> None:
    before = pids()

    rolling.raw["applications"][0]["args"]["retrieval"]["candidates"] = 40
    rolling.apply()
    clients.until_more(NUM_AFTER, START_TIMEOUT_S)

    after = pids()
    assert all(not before[name] & after[name] for name in before), (before, after)
    assert is_whole(clients)


def test_changed_code_replaces_every_replica(tmp_path: Path) -> None:
    """The code changes where it is, as by a `git pull`; what restarts the replicas is a line of the deployment file."""
    checkout = checked_out(tmp_path / "checkout")
    with running(checkout) as (url, process):
        ingest(url, tmp_path)
        with SteadyClients(url, ASKS, NUM_CLIENTS, PAUSE_S) as clients:
            clients.until_more(NUM_BEFORE, START_TIMEOUT_S)
            before = replicas_of(process)
            source, file = checkout / "serve" / "api" / "health.py", checkout / "serve_config.yaml"
            source.write_text(source.read_text().replace('{"status": "ok"}', '{"status": "ok", "release": "next"}'))
            raw = read(file)
            raw["applications"][0]["runtime_env"] = {"env_vars": {"RAGSERVE_RELEASE": "next"}}
            file.write_text(yaml.safe_dump(raw))
            until(lambda: not before & replicas_of(process))
            clients.until_more(NUM_AFTER, START_TIMEOUT_S)
        release = httpx.get(f"{url}/healthz", trust_env=False).json()["release"]

    assert len(before) == len(STAGES)
    assert release == "next"
    assert is_whole(clients)


def checked_out(folder: Path) -> Path:
    """A copy of this code with its deployment file."""
    for package in ("serve", "deployments", "models"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "serve_config.yaml", folder)
    return folder


@contextmanager
def running(checkout: Path) -> Iterator[tuple[str, psutil.Process]]:
    """`ragserve up` in that folder: where it listens, and its process."""
    port, own = free_port(), (*OWN_PORTS, *DEREGISTER["env_vars"], "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if name not in own} | DEREGISTER["env_vars"]
    command = [sys.executable, "-m", "serve.cli", "up", "--port", str(port)]
    with (checkout / "up.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=log, stderr=log)
    try:
        with RemoteService(f"http://127.0.0.1:{port}") as remote:
            remote.wait_until_ready(START_TIMEOUT_S)
        yield remote.url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)


def replicas_of(process: psutil.Process) -> set[psutil.Process]:
    """The replicas among the processes that it started."""
    found = set()
    for one in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "".join(one.cmdline()).startswith("ray::ServeReplica:"):
                found.add(one)
    return found


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_drained_node_interrupts_nothing() -> None:
    """SIGTERM to a node, as Kubernetes sends it to a pod: its replicas begin elsewhere, and end what they had begun."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.e2e.drained_node"],
        cwd=ROOT,
        env={name: value for name, value in environment.items() if not name.startswith("RAY_")},
        capture_output=True,
        text=True,
        timeout=DRAINED_LIMIT_S,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr[-3000:]
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    assert found["failed"] == {}
    assert found["num_answers"] > found["num_until_drained"] > 0
    assert {len(nodes) for nodes in found["after"].values()} == {1}
    assert not {node for nodes in found["before"].values() for node in nodes} & {
        node for nodes in found["after"].values() for node in nodes
    }
