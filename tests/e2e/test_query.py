"""POST /v1/query as a client sees it: cited answers, streamed and not, and errors with codes."""

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serve.cli.remote import RemoteService
from tests.conftest import Service, curl
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.ray, pytest.mark.slow]

MENU = """# The canteen

## Monday

On Monday the canteen serves lentil soup with sourdough bread. It opens at 11:30.

## Friday

Fried plaice comes with potato salad on Fridays. Vegetarians get stuffed aubergines.
"""


@pytest.fixture(scope="module")
def http(service: Service) -> httpx.Client:
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module", autouse=True)
def _ingested(service: Service, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("menu") / "canteen.md"
    path.write_text(MENU)
    with RemoteService(service.url) as remote:
        _, result = remote.ingest(path, "canteen.md", "default")
    assert result.status == "completed"


def ask(http: httpx.Client, **body: Any) -> httpx.Response:
    return http.post("/v1/query", json=body)


def test_citations_quote_the_file_exactly(http: httpx.Client) -> None:
    body = ask(http, query="What does the canteen serve on Monday?").json()

    assert "lentil soup" in body["answer"]
    assert body["citations"]
    texts = {passage["chunk_id"]: passage["text"] for passage in body["passages"]}
    for citation in body["citations"]:
        file_text = http.get(f"/v1/files/{citation['file_id']}/text").text
        assert file_text[citation["start"] : citation["end"]] == citation["quote"]
        assert citation["quote"] in texts[citation["chunk_id"]]
        assert f"[{citation['id']}]" in body["answer"]


def test_an_answer_has_timings_and_models(http: httpx.Client) -> None:
    body = ask(http, query="When does the canteen open?").json()

    assert {"embed", "dense", "lexical", "fuse", "rerank", "generate", "first_text", "total"} <= body["timings"].keys()
    assert all(seconds >= 0 for seconds in body["timings"].values())
    assert body["models"] == {"embed": "minilm", "rerank": "late-interaction", "generate": "extractive"}
    assert body["degraded"] == []


def test_a_stream_gives_the_same_answer(http: httpx.Client) -> None:
    question = "What do vegetarians get?"
    complete = ask(http, query=question).json()

    with RemoteService(str(http.base_url)) as remote:
        events = list(remote.ask(question, "default", 5))

    names = [name for name, _ in events]
    assert names[0] == "passages"
    assert names[-1] == "done"
    assert "".join(body["text"] for name, body in events if name == "text") == complete["answer"]
    assert [body for name, body in events if name == "citation"] == complete["citations"]
    assert events[-1][1]["answer"] == complete["answer"]


def test_curl_needs_no_content_type(service: Service) -> None:
    command = curl(f"{service.url}/v1/query", "-d", '{"query": "What comes with the plaice?"}')

    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "potato salad" in json.loads(answer)["answer"]


def test_top_k_bounds_the_passages(http: httpx.Client) -> None:
    assert len(ask(http, query="canteen", top_k=1).json()["passages"]) == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"query": ""}, 422, "invalid_request", "query"),
        ({"query": "   "}, 422, "invalid_request", "query"),
        ({"query": "x" * 8001}, 422, "invalid_request", "query"),
        ({}, 422, "invalid_request", "query"),
        ({"query": "soup", "top_kk": 3}, 422, "invalid_request", "top_kk"),
        ({"query": "soup", "top_k": 0}, 422, "invalid_request", "top_k"),
        ({"query": "soup", "vector_store_ids": ["vs_unknown"]}, 404, "not_found", "vector_store_ids"),
    ],
)
def test_invalid_input_is_refused_by_name(
    http: httpx.Client, body: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    response = ask(http, **body)

    assert response.status_code == status
    error = response.json()["error"]
    assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error")
    assert len(response.headers.get_list("x-request-id")) == 1


def test_a_body_that_is_not_json_is_refused_in_the_same_envelope(http: httpx.Client) -> None:
    response = http.post("/v1/query", content=b"{not json")

    assert response.status_code == 422
    assert response.json()["error"]["code"] == "invalid_request"


def test_an_unknown_route_is_refused_in_the_same_envelope(http: httpx.Client) -> None:
    response = http.get("/v1/nothing")

    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


def test_a_failure_before_the_stream_is_an_http_error(http: httpx.Client) -> None:
    response = ask(http, query="soup", stream=True, vector_store_ids=["vs_unknown"])

    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


def test_an_upload_that_is_too_large_is_refused_before_it_is_read(http: httpx.Client, service: Service) -> None:
    limit = service.raw["applications"][0]["args"]["api"]["max_upload_bytes"]

    response = http.post("/v1/files", files={"file": ("big.txt", b"x" * (limit + 1))}, data={"purpose": "assistants"})

    assert response.status_code == 413
    assert response.json()["error"]["code"] == "payload_too_large"


def test_the_same_question_gets_the_same_answer(http: httpx.Client) -> None:
    first, second = (ask(http, query="When does it open?").json() for _ in range(2))

    assert (first["answer"], first["citations"]) == (second["answer"], second["citations"])


def test_health_readiness_models_and_metrics(http: httpx.Client) -> None:
    assert http.get("/healthz").json() == {"status": "ok"}
    readiness = http.get("/readyz")
    assert readiness.status_code == 200
    assert (readiness.json()["missing"], readiness.json()["rollout"]) == ([], {})
    embed = readiness.json()["stages"]["embed"]
    assert embed.pop("runs_on").endswith("thread")
    assert embed == {
        "ready": True,
        "model": "minilm",
        "unfinished": 0,
        "oldest_s": None,
        "loading": None,
        "error": None,
        "canary": None,
        "breaker": "closed",
    }
    assert [model["id"] for model in http.get("/v1/models").json()["data"]] == ["ragserve", "extractive"]
    metrics = http.get("/metrics").text
    assert 'ragserve_http_requests_total{method="POST",route="/v1/query",status="200"}' in metrics
    assert 'ragserve_stage_seconds_count{outcome="ok",stage="dense"}' in metrics
    assert 'ragserve_generated_tokens_total{model="extractive"}' in metrics
    assert "ragserve_time_to_first_text_seconds_count" in metrics
    assert 'ragserve_ingested_files_total{status="completed"}' in metrics


def reranked(http: httpx.Client) -> dict[str, float]:
    """The candidates reranked so far, by the source of their scores."""
    families = text_string_to_metric_families(http.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return {
        sample.labels["source"]: sample.value
        for sample in samples
        if sample.name == "ragserve_reranked_candidates_total"
    }


def test_a_cold_question_is_reranked_without_a_forward_pass_over_candidates(http: httpx.Client) -> None:
    for number in range(100):
        if reranked(http).get("stored"):
            break
        ask(http, query=f"Is there soup in canteen {number}?")  # the ingress soon learns the Reranker's model
    before = reranked(http)

    answer = ask(http, query="Which soup is served in the canteen before noon?").json()

    after = reranked(http)
    assert answer["degraded"] == []
    assert answer["models"]["rerank"] == "late-interaction"
    assert after["stored"] > before["stored"]
    assert after["computed"] == before["computed"]


def test_the_command_line_asks_and_reports(service: Service) -> None:
    ragserve = [sys.executable, "-m", "serve.cli"]

    ask_command = subprocess.run(
        [*ragserve, "ask", "What does the canteen serve on Monday?", "--url", service.url],
        capture_output=True,
        text=True,
        check=True,
    )
    status = subprocess.run([*ragserve, "status", "--url", service.url], capture_output=True, text=True, check=True)

    assert "lentil soup" in ask_command.stdout
    assert "canteen.md" in ask_command.stdout
    assert "late-interaction" in status.stdout
    assert "completed" in status.stdout
