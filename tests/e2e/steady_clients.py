"""Clients that send one request after another, and record the outcome of each."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from tests.patience import PATIENCE_S


@dataclass(frozen=True)
class Outcome:
    """The outcome of a request. `problem` is empty if the response is complete."""

    name: str
    status: int
    problem: str = ""
    degraded: tuple[str, ...] = ()

    @property
    def is_failed(self) -> bool:
        return self.status != 200 or bool(self.problem)


SendRequest = Callable[[httpx.Client], Outcome]


class SteadyClients:
    """`num_clients` clients that send requests until the block ends. Client i repeats request i modulo their number."""

    def __init__(self, url: str, requests: Sequence[SendRequest], num_clients: int, pause_s: float) -> None:
        self._url, self._requests, self._pause_s = url, requests, pause_s
        self._num_clients = num_clients
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(num_clients)
        self._running: list[Future[None]] = []
        self.outcomes: list[Outcome] = []

    def __enter__(self) -> "SteadyClients":
        requests = (self._requests[number % len(self._requests)] for number in range(self._num_clients))
        self._running = [self._pool.submit(self._run, send) for send in requests]
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._pool.shutdown()
        for running in self._running:
            running.result()

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.is_failed]

    def wait_for_more(self, number: int, limit_s: float) -> None:
        """Wait until `number` requests that began after this call have ended."""
        # Each client may still be in a request that began before.
        target, end = len(self.outcomes) + self._num_clients + number, time.monotonic() + limit_s
        while len(self.outcomes) < target:
            assert time.monotonic() < end, f"{len(self.outcomes)} of {target} requests have ended"
            time.sleep(0.05)

    def _run(self, send: SendRequest) -> None:
        with httpx.Client(base_url=self._url, timeout=PATIENCE_S, trust_env=False) as http:
            while not self._stopped.is_set():
                self.outcomes.append(_outcome(send, http))
                self._stopped.wait(self._pause_s)


def _outcome(send: SendRequest, http: httpx.Client) -> Outcome:
    try:
        return send(http)
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return Outcome("?", 0, repr(error))


def json_request(name: str, path: str, body: dict[str, Any], is_complete: Callable[[Any], bool]) -> SendRequest:
    """A JSON request. The response names the stages that failed as `degraded`."""

    def send(http: httpx.Client) -> Outcome:
        response = http.post(path, json=body)
        if response.status_code != 200:
            return Outcome(name, response.status_code, response.text[:200])
        answer = response.json()
        problem = "" if is_complete(answer) else response.text[:200]
        return Outcome(name, 200, problem, tuple(answer.get("degraded", ())))

    return send


def stream_request(name: str, path: str, body: dict[str, Any]) -> SendRequest:
    """A request for server-sent events, which must end with [DONE] and have no error."""

    def send(http: httpx.Client) -> Outcome:
        with http.stream("POST", path, json=body) as response:
            if response.status_code != 200:
                return Outcome(name, response.status_code, response.read().decode()[:200])
            events = [line[len("data: ") :] for line in response.iter_lines() if line.startswith("data: ")]
        errors = [event for event in events[:-1] if "error" in json.loads(event)]
        is_cut = not events or events[-1] != "[DONE]"
        return Outcome(name, 200, errors[0] if errors else "the stream was cut" if is_cut else "")

    return send
