"""Twenty clients that ask one question each second or two, for tests that swap models under load."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from serve.cli.remote import RemoteService
from tests.conftest import Service
from tests.patience import PATIENCE_S

NUM_CLIENTS = 20
PAUSE_S = 2.0  # between the queries of a client, to leave CPU time for loading models
QUESTION = "When does the spring tide come?"


@dataclass(frozen=True)
class Answer:
    """The response to one query."""

    status_code: int
    models: dict[str, str]
    degraded: tuple[str, ...]


@contextmanager
def clients(service: Service, store: str) -> Iterator[list[Answer]]:
    """Run the clients until the block ends; yields the responses so far. A request without a response raises."""
    stopped, answers = threading.Event(), list[Answer]()
    question = {"query": QUESTION, "max_tokens": 8, "vector_store_ids": [store]}

    def send_queries() -> None:
        with httpx.Client(base_url=service.url, timeout=PATIENCE_S, trust_env=False) as http:
            while not stopped.is_set():
                response = http.post("/v1/query", json=question)
                body = response.json()
                answers.append(Answer(response.status_code, body.get("models", {}), tuple(body.get("degraded", ()))))
                stopped.wait(PAUSE_S)

    with ThreadPoolExecutor(NUM_CLIENTS) as pool:
        running: list[Future[None]] = [pool.submit(send_queries) for _ in range(NUM_CLIENTS)]
        try:
            yield answers
        finally:
            stopped.set()
        for client in running:
            client.result()


def stage(service: Service, name: str) -> dict[str, Any]:
    with RemoteService(service.url) as remote:
        return remote.readiness()["stages"][name]


def swap(service: Service, deployment: str, **user_config: Any) -> None:
    service.deployment(deployment)["user_config"] = user_config
    service.apply()


def wait_for_answer_by(answers: list[Answer], name: str, model: str, limit_s: float = PATIENCE_S) -> None:
    """Wait until the model has answered a request that began after this call."""
    num_before, end = len(answers) + NUM_CLIENTS, time.monotonic() + limit_s
    while not any(answer.models.get(name) == model for answer in answers[num_before:]):
        assert time.monotonic() < end, f"{model} has answered no request"
        time.sleep(0.05)
