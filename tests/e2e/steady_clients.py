"""Clients that go on asking, each one request after another, and keep what became of every request."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

REQUEST_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Outcome:
    """What one request got. `problem` is empty if the answer was whole."""

    name: str
    status: int
    problem: str = ""
    degraded: tuple[str, ...] = ()

    @property
    def is_failed(self) -> bool:
        return self.status != 200 or bool(self.problem)


Ask = Callable[[httpx.Client], Outcome]


class SteadyClients:
    """`num_clients` of them, who ask in turn what `asks` has, until the block ends."""

    def __init__(self, url: str, asks: Sequence[Ask], num_clients: int, pause_s: float) -> None:
        self._url, self._asks, self._pause_s = url, asks, pause_s
        self._num_clients = num_clients
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(num_clients)
        self._asking: list[Future[None]] = []
        self.outcomes: list[Outcome] = []

    def __enter__(self) -> "SteadyClients":
        asks = (self._asks[number % len(self._asks)] for number in range(self._num_clients))
        self._asking = [self._pool.submit(self._keep_asking, ask) for ask in asks]
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._pool.shutdown()
        for one in self._asking:
            one.result()

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.is_failed]

    def until_more(self, number: int, limit_s: float) -> None:
        """Returns once so many more requests have ended, of which some began after this call."""
        wanted, end = len(self.outcomes) + self._num_clients + number, time.monotonic() + limit_s
        while len(self.outcomes) < wanted:
            assert time.monotonic() < end, f"{len(self.outcomes)} of {wanted} requests have ended"
            time.sleep(0.05)

    def _keep_asking(self, ask: Ask) -> None:
        with httpx.Client(base_url=self._url, timeout=REQUEST_TIMEOUT_S, trust_env=False) as http:
            while not self._stopped.is_set():
                self.outcomes.append(_outcome(ask, http))
                self._stopped.wait(self._pause_s)


def _outcome(ask: Ask, http: httpx.Client) -> Outcome:
    try:
        return ask(http)
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return Outcome("?", 0, repr(error))


def posted(name: str, path: str, body: dict[str, Any], is_whole: Callable[[Any], bool]) -> Ask:
    """One JSON request, whose answer says of itself what it went without."""

    def ask(http: httpx.Client) -> Outcome:
        response = http.post(path, json=body)
        if response.status_code != 200:
            return Outcome(name, response.status_code, response.text[:200])
        answer = response.json()
        problem = "" if is_whole(answer) else response.text[:200]
        return Outcome(name, 200, problem, tuple(answer.get("degraded", ())))

    return ask


def streamed(name: str, path: str, body: dict[str, Any]) -> Ask:
    """Server-sent events that must end with [DONE], and hold no error."""

    def ask(http: httpx.Client) -> Outcome:
        with http.stream("POST", path, json=body) as response:
            if response.status_code != 200:
                return Outcome(name, response.status_code, response.read().decode()[:200])
            events = [line[len("data: ") :] for line in response.iter_lines() if line.startswith("data: ")]
        errors = [event for event in events[:-1] if "error" in json.loads(event)]
        is_cut = not events or events[-1] != "[DONE]"
        return Outcome(name, 200, errors[0] if errors else "the stream was cut" if is_cut else "")

    return ask
