"""Swap rerankers under load: every query of twenty clients is answered. test_vllm.py swaps generators."""

import re
from pathlib import Path

import httpx
import pytest
from openai import OpenAI
from typer.testing import CliRunner

from serve.cli.main import app
from serve.cli.remote import RemoteService
from tests.conftest import Service
from tests.e2e.querying_clients import clients, stage, swap, wait_for_answer_by

pytestmark = [pytest.mark.ray, pytest.mark.slow]

runner = CliRunner()


@pytest.fixture(scope="module")
def tides(service: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with one short text, because some of the models are slow."""
    path: Path = tmp_path_factory.mktemp("swap") / "swap-tides.md"
    path.write_text("# Spring tides\n\nThe spring tide comes twice a month, at full and at new moon.\n")
    with OpenAI(base_url=f"{service.url}/v1", api_key="unused") as client, RemoteService(service.url) as remote:
        store = client.vector_stores.create(name="tides").id
        assert remote.ingest(path, "swap-tides.md", store)[1].status == "completed"
    return store


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
