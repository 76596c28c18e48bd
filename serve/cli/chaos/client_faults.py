"""Clients that hold connections."""

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from models.errors.configuration import ConfigError

CLIENTS_S = 15.0
SPARE_FILES = 200  # for everything else
HEAD = b"POST /v1/query HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 4096\r\n\r\n"


@dataclass(frozen=True)
class SlowClients:
    """Clients that send a question of 4 kB byte by byte."""

    url: str
    count: int = 80

    @property
    def name(self) -> str:
        return f"{self.count} clients that send a byte a second"

    @contextmanager
    def inject(self) -> Iterator[None]:
        with connections(self.url, self.count) as clients:
            send(clients, HEAD)
            end = time.monotonic() + CLIENTS_S
            while time.monotonic() < end:
                send(clients, b" ")
                time.sleep(1)
            yield


@dataclass(frozen=True)
class IdleClients:
    """Clients that connect and say nothing."""

    url: str
    count: int = 2000

    @property
    def name(self) -> str:
        return f"{self.count} idle connections"

    @contextmanager
    def inject(self) -> Iterator[None]:
        with connections(self.url, self.count):
            time.sleep(CLIENTS_S)
            yield


@contextmanager
def connections(url: str, count: int) -> Iterator[list[socket.socket]]:
    """Raises ConfigError if this process may not open so many."""
    address = urlsplit(url)
    _allow_files(count + SPARE_FILES)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection((address.hostname, address.port or 80), timeout=10))
            for _ in range(count)
        ]


def send(clients: list[socket.socket], content: bytes) -> None:
    for client in clients:
        with contextlib.suppress(OSError):  # the service may close it
            client.sendall(content)


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise ConfigError("ulimit -n", f"{count} open files are needed, and at most {hard} allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
