"""Bounded load of two tenants: each asks from threads of its own, with a pause between two questions."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from loadtests.incidents.service import TENANTS

ASKERS, PAUSE_S, TIMEOUT_S = 3, 0.4, 60.0  # of each tenant
NO_STORE = {"cache-control": "no-store"}  # every question does its whole work


@dataclass(frozen=True)
class Answer:
    """What an answer says of itself. `status` is 0 if the connection failed."""

    tenant: str
    question: str
    status: int
    prompt_tokens: int = 0
    completion_tokens: int = 0
    degraded: tuple[str, ...] = ()


class Load:
    """The questions of the moment, and every answer so far."""

    def __init__(self, url: str, questions: Sequence[str]) -> None:
        self.url, self.questions = url, questions
        self.fields: dict[str, str] = {}  # of each question, beside its text
        self.answers: list[Answer] = []
        self._stopped = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._ask, args=(tenant, seed)) for tenant in TENANTS for seed in range(ASKERS)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def _ask(self, tenant: str, seed: int) -> None:
        chosen = random.Random(f"{tenant}{seed}")
        headers = {"authorization": f"Bearer {tenant}"} | NO_STORE
        with httpx.Client(base_url=self.url, timeout=TIMEOUT_S, headers=headers, trust_env=False) as http:
            while not self._stopped.is_set():
                self.answers.append(answer(http, tenant, chosen.choice(self.questions), **self.fields))
                self._stopped.wait(PAUSE_S)


def answer(http: httpx.Client, tenant: str, question: str, **fields: str) -> Answer:
    try:
        response = http.post("/v1/query", json={"query": question, **fields})
    except httpx.HTTPError:
        time.sleep(PAUSE_S)
        return Answer(tenant, question, 0)
    if not response.is_success:
        return Answer(tenant, question, response.status_code)
    body = response.json()
    usage = body["usage"]
    return Answer(
        tenant, question, 200, usage["prompt_tokens"], usage["completion_tokens"], tuple(body.get("degraded", ()))
    )
