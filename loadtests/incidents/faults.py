"""The faults. Each is a block, which takes the fault back at its end."""

import contextlib
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from loadtests.incidents.service import Service
from serve.cli.chaos.processes import REPLICA, service_processes

STOPPED_S, RUNNING_S = 0.9, 0.1
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
