"""`ragserve bench door`: one client sends each request to a server with an open door, then to those with a closed one.

Every request is timed beside its twin, so that what keeps the machine busy meets both.
"""

import http.client
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from deployments.cluster.environment import free_port
from models.errors.configuration import ConfigError
from serve.cli.driver.servers import HOST, Launch, Server, running
from serve.settings import Settings

PATH = "/v1/embeddings"
BODY = json.dumps({"input": "How do I swap the reranker?"}).encode()
WARM_UP = 20
TIMEOUT_S = 60.0
OPEN = "open"
LIMITS = {"requests_per_minute": 1_000_000, "concurrency": 4096}
CLOSED: dict[str, Any] = {
    "api": {"access": "keys"},
    "limits": {"each_tenant": {**LIMITS, "tokens_per_day": 10**12}, "each_key": LIMITS},
}
HEAD = "| door | median ms | more than open, ms (each turn) |\n|---|---|---|"


@dataclass(frozen=True)
class Row:
    """Seconds of a request: the median, and for each turn the median of the differences to the open door."""

    name: str
    median_s: float
    more_s: list[float]

    def line(self) -> str:
        turns = ", ".join(f"{1000 * each:.2f}" for each in self.more_s)
        more = f"{1000 * median(self.more_s):.2f} ({turns})" if self.more_s else ""
        return f"| {self.name} | {1000 * self.median_s:.2f} | {more} |"


class Client:
    """A connection that stays open."""

    def __init__(self, server: Server, headers: dict[str, str]) -> None:
        self._connection = http.client.HTTPConnection(HOST, server.port, timeout=TIMEOUT_S)
        self._headers = {"content-type": "application/json", **headers}

    def send(self) -> float:
        """The seconds of a request. Raises ConfigError for another answer than a vector."""
        start = perf_counter()
        self._connection.request("POST", PATH, BODY, self._headers)
        response = self._connection.getresponse()
        content = response.read()
        elapsed_s = perf_counter() - start
        if response.status != http.client.OK:
            raise ConfigError(PATH, f"answered {response.status}: {content[:200].decode(errors='replace')}")
        return elapsed_s

    def close(self) -> None:
        self._connection.close()


def run(num_requests: int, num_turns: int, report: Callable[[str], None]) -> list[Row]:
    """A row for each door; the one that counts on Redis is left out where there is no redis-server."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        doors: dict[str, dict[str, Any]] = {
            OPEN: {"api": {"access": "open"}, "breaker": {"enabled": False}},
            "keys, limits in process, breakers, deadline": CLOSED,
        }
        if which("redis-server") is None:
            report("redis-server is not installed, so limits on Redis are not measured")
        else:
            url = stack.enter_context(_redis(folder))
            limits = {**CLOSED["limits"], "shared": True}
            doors["the same, limits on Redis"] = {**CLOSED, "limits": limits, "cache": {"redis_url": url}}
        clients = {
            name: stack.enter_context(_client(folder / str(number), name, settings))
            for number, (name, settings) in enumerate(doors.items())
        }
        for client in clients.values():
            for _ in range(WARM_UP):
                client.send()
        return _measure(clients, num_requests, num_turns, report)


def _measure(clients: dict[str, Client], num_requests: int, num_turns: int, report: Callable[[str], None]) -> list[Row]:
    times: dict[str, list[list[float]]] = {name: [] for name in clients}
    for turn in range(num_turns):
        for name in clients:
            times[name].append([])
        names = list(clients)
        for number in range(num_requests):
            first = number % len(names)  # each door is as often the first as the others
            for name in (*names[first:], *names[:first]):
                times[name][turn].append(clients[name].send())
        report(f"turn {turn + 1} of {num_turns}")
    rows = []
    for name, turns in times.items():
        more = [
            median(closed - opened for closed, opened in zip(own, beside, strict=True))
            for own, beside in zip(turns, times[OPEN], strict=True)
        ]
        rows.append(Row(name, median(each for own in turns for each in own), [] if name == OPEN else more))
    return rows


@contextmanager
def _client(folder: Path, name: str, settings: dict[str, Any]) -> Iterator[Client]:
    """A client of a server of its own."""
    folder.mkdir()
    path, arguments = folder / "settings.json", {"storage": {"data_dir": str(folder)}, **settings}
    path.write_text(json.dumps(arguments))
    headers = {}
    if name != OPEN:
        corpus = Settings.model_validate(arguments).storage.open()
        secret = corpus.api_keys.create("default", "bench", "reader")[1]
        corpus.close()
        headers = {"authorization": f"Bearer {secret}", "x-request-timeout": "30"}
    command = [sys.executable, "-m", "serve.cli.bench.door.server", str(path), "{port}"]
    with running(Launch("door", command, "/healthz"), folder, threads=1) as server:
        client = Client(server, headers)
        try:
            yield client
        finally:
            client.close()


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", HOST, "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield f"redis://{HOST}:{port}/0"
    finally:
        process.kill()
        process.wait()
