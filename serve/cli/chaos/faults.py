"""The faults: each is a block, which injects it at its beginning and takes it back at its end."""

import contextlib
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from models.errors import ConfigError
from serve.cli.chaos.processes import CONTROLLER, HAPROXY, PROXY_MANAGER, REPLICA, service_processes, stages_of

HUNG_S = 20.0
SLOW_CLIENTS, IDLE_CLIENTS = 80, 2000
CLIENTS_S = 15.0
SPARE_FILES = 200  # for everything else
HEAD = b"POST /v1/query HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 4096\r\n\r\n"


@dataclass(frozen=True)
class Fault:
    name: str
    inject: Callable[[], AbstractContextManager[None]]


def faults_of(pid: int, url: str) -> list[Fault]:
    """The faults of the local service whose `ragserve up` is process `pid`."""
    stages = stages_of(pid)
    kills = [
        ("SIGKILL of HAProxy", HAPROXY),
        ("SIGKILL of Serve's manager of HAProxy", PROXY_MANAGER),
        ("SIGKILL of Serve's controller", CONTROLLER),
    ]
    kills += [(f"SIGKILL of {stage}", f"{REPLICA}{stage}") for stage in stages]
    faults = [Fault(name, lambda title=title: _killed(pid, title)) for name, title in kills]  # type: ignore[misc]
    faults += [
        Fault(f"SIGKILL of one of {count} {stage} replicas", lambda stage=stage: _killed(pid, f"{REPLICA}{stage}", 1))  # type: ignore[misc]
        for stage in stages
        if (count := len(service_processes(pid, f"{REPLICA}{stage}"))) > 1
    ]
    hung = [stage for stage in ("Embedder", "Reranker", "Generator") if stage in stages]
    faults += [
        Fault(f"SIGSTOP of {stage} for {HUNG_S:g} s", lambda stage=stage: _stopped(pid, f"{REPLICA}{stage}"))  # type: ignore[misc]
        for stage in hung
    ]
    return [
        *faults,
        Fault(f"{SLOW_CLIENTS} clients that send a byte a second", lambda: _slow_clients(url)),
        Fault(f"{IDLE_CLIENTS} idle connections", lambda: _idle_clients(url)),
    ]


@contextmanager
def _killed(pid: int, title: str, count: int | None = None) -> Iterator[None]:
    """Every process with the title at once, or `count` of them."""
    for process in service_processes(pid, title)[:count]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    yield


@contextmanager
def _stopped(pid: int, title: str) -> Iterator[None]:
    processes = service_processes(pid, title)
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(HUNG_S)
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
    yield


@contextmanager
def _slow_clients(url: str) -> Iterator[None]:
    with _connections(url, SLOW_CLIENTS) as clients:
        _send(clients, HEAD)
        end = time.monotonic() + CLIENTS_S
        while time.monotonic() < end:
            _send(clients, b" ")
            time.sleep(1)
        yield


@contextmanager
def _idle_clients(url: str) -> Iterator[None]:
    with _connections(url, IDLE_CLIENTS):
        time.sleep(CLIENTS_S)
        yield


@contextmanager
def _connections(url: str, count: int) -> Iterator[list[socket.socket]]:
    """Raises ConfigError if this process may not open so many."""
    address = urlsplit(url)
    _allow_files(count + SPARE_FILES)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection((address.hostname, address.port or 80), timeout=10))
            for _ in range(count)
        ]


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise ConfigError("ulimit -n", f"{count} open files are needed, and at most {hard} allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def _send(clients: list[socket.socket], content: bytes) -> None:
    for client in clients:
        with contextlib.suppress(OSError):  # the service may close it
            client.sendall(content)
