"""Models swapped under load: twenty clients go on asking, and none of them notices."""

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
PAUSE_S = 2.0  # between questions of a client: the cores are to load models as well
BUDGET_S = 60.0  # args.query.total_s
runner = CliRunner()
QUESTION = "When does the spring tide come?"


@dataclass(frozen=True)
class Answered:
    """What one question got."""

    status_code: int
    models: dict[str, str]
    degraded: tuple[str, ...]


@pytest.fixture(scope="module")
def tides(service: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of one short text: the models are swapped here, not measured, and some are slow."""
    path: Path = tmp_path_factory.mktemp("swap") / "swap-tides.md"
    path.write_text("# Spring tides\n\nThe spring tide comes twice a month, at full and at new moon.\n")
    with OpenAI(base_url=f"{service.url}/v1", api_key="unused") as client, RemoteService(service.url) as remote:
        store = client.vector_stores.create(name="tides").id
        assert remote.ingest(path, "swap-tides.md", store)[1].status == "completed"
    return store


@contextmanager
def clients(service: Service, store: str) -> Iterator[list[Answered]]:
    """Twenty of them, who ask until the block ends; what they got, so far. A request past its budget raises."""
    stopped, answers = threading.Event(), list[Answered]()
    question = {"query": QUESTION, "max_tokens": 8, "vector_store_ids": [store]}

    def keep_asking() -> None:
        with httpx.Client(base_url=service.url, timeout=BUDGET_S, trust_env=False) as http:
            while not stopped.is_set():
                response = http.post("/v1/query", json=question)
                body = response.json()
                answers.append(Answered(response.status_code, body.get("models", {}), tuple(body.get("degraded", ()))))
                stopped.wait(PAUSE_S)

    with ThreadPoolExecutor(NUM_CLIENTS) as pool:
        asking: list[Future[None]] = [pool.submit(keep_asking) for _ in range(NUM_CLIENTS)]
        try:
            yield answers
        finally:
            stopped.set()
        for one in asking:
            one.result()


def stage(service: Service, name: str) -> dict[str, Any]:
    with RemoteService(service.url) as remote:
        return remote.readiness()["stages"][name]


def swap(service: Service, deployment: str, **user_config: Any) -> None:
    service.deployment(deployment)["user_config"] = user_config
    service.apply()


def answers_by(answers: list[Answered], name: str, model: str, limit_s: float = 30.0) -> None:
    """Returns once a request that began after this call was answered by the model."""
    seen, end = len(answers) + NUM_CLIENTS, time.monotonic() + limit_s
    while not any(answer.models.get(name) == model for answer in answers[seen:]):
        assert time.monotonic() < end, f"{model} answers nothing"
        time.sleep(0.05)


def test_rerankers_are_swapped_tried_and_refused_without_a_failure(changing: Service, tides: str) -> None:
    with clients(changing, tides) as answers:
        swap(changing, "Reranker", model="late-interaction-fp32")
        answers_by(answers, "rerank", "late-interaction-fp32")
        swap(changing, "Reranker", model="absent-reranker")
        refused, said = stage(changing, "rerank"), runner.invoke(app, ["status", "--url", changing.url]).output
        trial = {"model": "late-interaction", "share": 0.999}
        swap(changing, "Reranker", model="late-interaction-fp32", canary=trial)
        answers_by(answers, "rerank", "late-interaction")
        tried = stage(changing, "rerank")

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.degraded for answer in answers} == {()}
    assert refused["ready"]
    assert refused["model"] == "late-interaction-fp32"
    assert "absent-reranker" in refused["error"]
    assert f"rerank     ready     late-interaction-fp32\n           {refused['error']}\n" in said
    assert (tried["canary"], tried["error"]) == (trial, None)
    metrics = httpx.get(f"{changing.url}/metrics", trust_env=False).text
    for model in ("late-interaction", "late-interaction-fp32"):
        assert f'ragserve_model_seconds_count{{model="{model}",stage="rerank"}}' in metrics
        assert f'ragserve_first_cited_rank_count{{model="{model}"}}' in metrics


@pytest.mark.vllm
def test_generators_are_swapped_and_rolled_back_without_a_failure(changing: Service, tides: str) -> None:
    with clients(changing, tides) as answers:
        swap(changing, "Generator", model="absent-llama", swap="in_turn")
        rolled_back = stage(changing, "generate")
        swap(changing, "Generator", model="tiny-llama", swap="beside")
        answers_by(answers, "generate", "tiny-llama")
        num_beside = len(answers)
        swap(changing, "Generator", model="other-llama", swap="in_turn")
        answers_by(answers, "generate", "other-llama")
        swap(changing, "Generator", model="extractive")

    assert {answer.status_code for answer in answers} == {200}
    assert rolled_back["model"] == "extractive"
    assert "absent-llama" in rolled_back["error"]
    # Quotes stand in only where one engine has to go before the next comes, and say so.
    assert {answer.degraded for answer in answers} == {(), ("generate",)}
    assert {answer.models["generate"] for answer in answers} == {"extractive", "tiny-llama", "other-llama"}
    assert num_beside < len(answers)
