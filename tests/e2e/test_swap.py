"""Swap models under load: every query of twenty clients is answered."""

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI
from typer.testing import CliRunner

from serve.cli.main import app
from serve.cli.remote import RemoteService
from tests.conftest import Service

pytestmark = [pytest.mark.ray, pytest.mark.slow]

NUM_CLIENTS = 20
PAUSE_S = 2.0  # between the queries of a client, to leave CPU time for loading models
BUDGET_S = 60.0  # args.query.total_s
runner = CliRunner()
QUESTION = "When does the spring tide come?"


@dataclass(frozen=True)
class Answer:
    """The response to one query."""

    status_code: int
    models: dict[str, str]
    degraded: tuple[str, ...]


@pytest.fixture(scope="module")
def tides(service: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with one short text, because some of the models are slow."""
    path: Path = tmp_path_factory.mktemp("swap") / "swap-tides.md"
    path.write_text("# Spring tides\n\nThe spring tide comes twice a month, at full and at new moon.\n")
    with OpenAI(base_url=f"{service.url}/v1", api_key="unused") as client, RemoteService(service.url) as remote:
        store = client.vector_stores.create(name="tides").id
        assert remote.ingest(path, "swap-tides.md", store)[1].status == "completed"
    return store


@contextmanager
def clients(service: Service, store: str) -> Iterator[list[Answer]]:
    """Run the clients until the block ends; yields the responses so far. A request past its budget raises."""
    stopped, answers = threading.Event(), list[Answer]()
    question = {"query": QUESTION, "max_tokens": 8, "vector_store_ids": [store]}

    def send_queries() -> None:
        with httpx.Client(base_url=service.url, timeout=BUDGET_S, trust_env=False) as http:
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


def wait_for_answer_by(answers: list[Answer], name: str, model: str, limit_s: float = 30.0) -> None:
    """Wait until the model has answered a request that began after this call."""
    num_before, end = len(answers) + NUM_CLIENTS, time.monotonic() + limit_s
    while not any(answer.models.get(name) == model for answer in answers[num_before:]):
        assert time.monotonic() < end, f"{model} has answered no request"
        time.sleep(0.05)


def test_swapping_rerankers_fails_no_query(changing: Service, tides: str) -> None:
    with clients(changing, tides) as answers:
        swap(changing, "Reranker", model="late-interaction-fp32")
        wait_for_answer_by(answers, "rerank", "late-interaction-fp32")
        swap(changing, "Reranker", model="absent-reranker")
        refused = stage(changing, "rerank")
        status_output = runner.invoke(app, ["status", "--url", changing.url]).output
        canary = {"model": "late-interaction", "share": 0.999}
        swap(changing, "Reranker", model="late-interaction-fp32", canary=canary)
        wait_for_answer_by(answers, "rerank", "late-interaction")
        with_canary = stage(changing, "rerank")

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.degraded for answer in answers} == {()}
    assert refused["ready"]
    assert refused["model"] == "late-interaction-fp32"
    assert "absent-reranker" in refused["error"]
    assert re.search(
        rf"^rerank     ready     late-interaction-fp32 on .*\n           {re.escape(refused['error'])}$",
        status_output,
        re.MULTILINE,
    )
    assert (with_canary["canary"], with_canary["error"]) == (canary, None)
    metrics = httpx.get(f"{changing.url}/metrics", trust_env=False).text
    for model in ("late-interaction", "late-interaction-fp32"):
        assert f'ragserve_model_seconds_count{{model="{model}",stage="rerank"}}' in metrics
        assert f'ragserve_first_cited_rank_count{{model="{model}"}}' in metrics


@pytest.mark.vllm
def test_swapping_generators_fails_no_query(changing: Service, tides: str) -> None:
    with clients(changing, tides) as answers:
        swap(changing, "Generator", model="absent-llama", swap="in_turn")
        rolled_back = stage(changing, "generate")
        swap(changing, "Generator", model="tiny-llama", swap="beside")
        wait_for_answer_by(answers, "generate", "tiny-llama")
        num_beside = len(answers)
        swap(changing, "Generator", model="other-llama", swap="in_turn")
        wait_for_answer_by(answers, "generate", "other-llama")
        swap(changing, "Generator", model="extractive")

    assert {answer.status_code for answer in answers} == {200}
    assert rolled_back["model"] == "extractive"
    assert "absent-llama" in rolled_back["error"]
    # Quotes replace the engine only when the old one must stop before the new one starts. Then degraded says so.
    assert {answer.degraded for answer in answers} == {(), ("generate",)}
    assert {answer.models["generate"] for answer in answers} == {"extractive", "tiny-llama", "other-llama"}
    assert num_beside < len(answers)
