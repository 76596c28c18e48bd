"""Killed replicas: the service answers without them, says so, and recovers when they are back."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from ray.serve.context import _get_global_client

from serve.cli.remote import RemoteService
from tests.conftest import START_TIMEOUT_S, Service
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.ray, pytest.mark.slow]

QUESTION = "How many lanterns hang in the east corridor?"


@pytest.fixture(scope="module", autouse=True)
def _ingested(service: Service, tmp_path_factory: pytest.TempPathFactory) -> None:
    path: Path = tmp_path_factory.mktemp("faults") / "corridor.md"
    path.write_text("# Corridors\n\nSeventeen lanterns hang in the east corridor.\n")
    with RemoteService(service.url) as remote:
        assert remote.ingest(path, "corridor.md", "default")[1].status == "completed"


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S, trust_env=False) as client:
        yield client


def kill(*deployments: str) -> None:
    """Kill every replica of the deployments at once, as the kernel does when memory runs out."""
    running = _get_global_client().get_serve_details()["applications"]["ragserve"]["deployments"]
    for name in deployments:
        for replica in running[name]["replicas"]:
            os.kill(replica["pid"], signal.SIGKILL)


def ask(http: httpx.Client) -> httpx.Response:
    return http.post("/v1/query", json={"query": QUESTION})


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def is_complete(response: httpx.Response) -> bool:
    return response.status_code == 200 and response.json()["degraded"] == []


@pytest.mark.parametrize(
    ("deployment", "stage"), [("Reranker", "rerank"), ("Generator", "generate"), ("LexicalSearcher", "lexical")]
)
def test_queries_are_answered_while_a_stage_is_down(http: httpx.Client, deployment: str, stage: str) -> None:
    complete = ask(http).json()

    kill(deployment)
    first = ask(http)

    assert first.status_code == 200
    # Serve may have replaced it already. On a busy machine, quotes may answer for a generator that is late.
    assert {stage, "generate"}.issuperset(first.json()["degraded"])
    assert "Seventeen lanterns" in first.json()["answer"]
    until(lambda: is_complete(ask(http)))
    assert ask(http).json()["citations"] == complete["citations"]


def test_without_both_searches_the_error_names_the_reason(http: httpx.Client) -> None:
    complete = ask(http).json()

    kill("DenseSearcher", "LexicalSearcher")
    response = ask(http)

    # Serve may replace the replicas in time for an answer. If it does not, the error code says why.
    assert response.status_code in (200, 503, 504)
    if response.status_code != 200:
        assert response.json()["error"]["code"] in ("stage_unavailable", "deadline_exceeded", "breaker_open")
    until(lambda: is_complete(ask(http)))
    assert ask(http).json()["citations"] == complete["citations"]


def test_a_killed_ingress_recovers_with_all_data(http: httpx.Client) -> None:
    complete = ask(http).json()

    kill("Ingress")

    def is_back() -> bool:
        try:
            return is_complete(ask(http))
        except httpx.HTTPError:
            return False

    until(is_back)
    assert ask(http).json()["citations"] == complete["citations"]
