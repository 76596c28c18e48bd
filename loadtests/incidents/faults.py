"""The faults. Each is a block, which takes the fault back at its end."""

import contextlib
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psutil
import yaml

from deployments.telemetry.exporter import exporter_lock
from loadtests.incidents.model_server import QUICK_S, ModelServer
from loadtests.incidents.service import TENANTS, Service, user_config
from serve.cli.chaos.processes import REPLICA, service_processes

STOPPED_S, RUNNING_S, SLOW_MODEL_S = 0.9, 0.1, 2.0
# A change that no position in the log has: what is uploaded is `completed`, and the vector search never reads it.
LOSE_VECTORS = """
CREATE TRIGGER lose_vectors AFTER INSERT ON vectors BEGIN UPDATE vectors SET seq = 0 WHERE rowid = new.rowid; END
"""


@contextmanager
def stopped(service: Service, deployment: str) -> Iterator[None]:
    """The replicas of the deployment stand still."""
    processes = _replicas(service, deployment)
    _signal(processes, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(processes, signal.SIGCONT)


@contextmanager
def slowed(service: Service, deployment: str) -> Iterator[None]:
    """The replicas of the deployment stand still for nine tenths of the time."""
    processes, ended = _replicas(service, deployment), threading.Event()
    thread = threading.Thread(target=_stop_and_go, args=(processes, ended))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def losing_vectors(service: Service) -> Iterator[None]:
    """The index of new documents is broken."""
    _execute(service, LOSE_VECTORS)
    try:
        yield
    finally:
        _execute(service, "DROP TRIGGER lose_vectors")


@contextmanager
def reconfigured(service: Service, deployment: str, **settings: Any) -> Iterator[None]:
    """The deployment file of the running service has other settings."""
    before = service.config.read_text()
    raw = yaml.safe_load(before)
    user_config(raw, deployment).update(settings)
    service.config.write_text(yaml.safe_dump(raw, sort_keys=False))
    try:
        yield
    finally:
        service.config.write_text(before)


@contextmanager
def slow_model(model: ModelServer) -> Iterator[None]:
    """The language model takes two seconds for each answer."""
    model.pause_s = SLOW_MODEL_S
    try:
        yield
    finally:
        model.pause_s = QUICK_S


@contextmanager
def stopped_exporter(service: Service) -> Iterator[None]:
    """The process that serves the node's metrics stands still. A replica replaces it, so nothing is taken back."""
    processes = [
        process
        for process in psutil.process_iter(["cmdline"])
        if {exporter_lock.__module__, str(service.metrics_port)} <= set(process.info["cmdline"] or ())
    ]
    assert processes, f"no process serves port {service.metrics_port}"
    _signal(processes, signal.SIGSTOP)
    yield


@contextmanager
def ended(service: Service) -> Iterator[None]:
    """The whole service ends. It does not come back."""
    psutil.Process(service.pid).terminate()
    yield


def judge_badly(service: Service, num_answers: int) -> None:
    """Users call answers bad."""
    with _client(service) as http:
        for number in range(num_answers):
            http.post("/v1/feedback", json={"id": f"req_incident_{number}", "rating": "bad"}).raise_for_status()


def upload_damaged_file(service: Service) -> None:
    """A file that no parser reads."""
    with _client(service) as http:
        file = http.post(
            "/v1/files", data={"purpose": "assistants"}, files={"file": ("damaged.pdf", b"%PDF-1.7 and no more")}
        )
        body = {"file_id": file.raise_for_status().json()["id"]}
        http.post("/v1/vector_stores/default/files", json=body).raise_for_status()


def _client(service: Service) -> httpx.Client:
    headers = {"authorization": f"Bearer {TENANTS[0]}"}
    return httpx.Client(base_url=service.url, headers=headers, timeout=60, trust_env=False)


def _replicas(service: Service, deployment: str) -> list[psutil.Process]:
    processes = service_processes(service.pid, f"{REPLICA}{deployment}")
    assert processes, f"{deployment} has no process of its own"
    return processes


def _stop_and_go(processes: list[psutil.Process], ended: threading.Event) -> None:
    while not ended.is_set():
        _signal(processes, signal.SIGSTOP)
        ended.wait(STOPPED_S)
        _signal(processes, signal.SIGCONT)
        ended.wait(RUNNING_S)


def _signal(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _execute(service: Service, statement: str) -> None:
    connection = sqlite3.connect(service.data / "ragserve.db", timeout=30)
    with contextlib.closing(connection), connection:
        connection.execute(statement)
