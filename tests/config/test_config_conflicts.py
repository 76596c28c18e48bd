"""Values of the deployment file that contradict each other."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from serve.config_file import check, read

ROOT = Path(__file__).parents[2]


@pytest.fixture
def raw() -> dict[str, Any]:
    return copy.deepcopy(read(ROOT / "serve_config.yaml"))


def deployment(raw: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in raw["applications"][0]["deployments"] if entry["name"] == name)


def messages(raw: dict[str, Any]) -> list[str]:
    return [str(problem) for problem in check(raw)]


def test_a_request_timeout_under_the_time_of_an_answer_is_refused(raw: dict[str, Any]) -> None:
    raw["http_options"]["request_timeout_s"] = 59

    (message,) = messages(raw)

    assert message.startswith("http_options.request_timeout_s: 59 is under query.total_s, 60:")


def test_a_longer_answer_needs_a_longer_request_timeout(raw: dict[str, Any]) -> None:
    deployment(raw, "Ingress")["user_config"]["query"]["total_s"] = 121

    assert "120 is under query.total_s, 121" in messages(raw)[0]

    del raw["http_options"]["request_timeout_s"]  # no limit
    assert messages(raw) == []


def test_a_target_above_what_a_replica_takes_is_refused(raw: dict[str, Any]) -> None:
    deployment(raw, "Reranker")["autoscaling_config"]["target_ongoing_requests"] = 129

    (message,) = messages(raw)

    where = "applications[0].deployments (Reranker).autoscaling_config.target_ongoing_requests"
    assert message == f"{where}: 129 is above max_ongoing_requests, 128: no replica would ever be added"


def test_serves_own_limit_counts_if_the_file_has_none(raw: dict[str, Any]) -> None:
    del deployment(raw, "Reranker")["max_ongoing_requests"]

    assert "8 is above max_ongoing_requests, 5" in messages(raw)[0]


def test_more_candidates_to_rerank_than_a_search_returns_are_refused(raw: dict[str, Any]) -> None:
    deployment(raw, "Ingress")["user_config"]["retrieval"] = {"candidates": 10, "rerank_candidates": 11}

    assert "retrieval.rerank_candidates: 11 is above candidates, 10" in messages(raw)[0]

    deployment(raw, "Ingress")["user_config"]["retrieval"] = {"candidates": 10}  # nobody typed the 30
    assert messages(raw) == []


def test_a_breaker_that_would_never_open_is_refused(raw: dict[str, Any]) -> None:
    deployment(raw, "Ingress")["user_config"]["retrieval"]["search_s"] = 2

    assert "user_config.breaker.min_budget_s: 3 must be below retrieval.search_s and rerank_s, 2" in messages(raw)[0]

    deployment(raw, "Ingress")["user_config"]["breaker"] = {"min_budget_s": 1}
    assert messages(raw) == []


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mysql://host/db", "'mysql' is not supported; use sqlite or postgresql"),
        ("postgresql+nodriver://host/db", "the driver of 'postgresql+nodriver' is not installed"),
        ("corpus.db", "not a URL; use sqlite:////folder/corpus.db or postgresql://"),
    ],
)
def test_a_database_that_no_driver_opens_is_refused(raw: dict[str, Any], url: str, problem: str) -> None:
    raw["applications"][0]["args"]["storage"]["database_url"] = url

    (message,) = messages(raw)

    assert message.startswith("applications[0].args.storage.database_url: ")
    assert problem in message


def test_a_fallback_of_the_embedder_has_its_length_and_another_server(raw: dict[str, Any], tmp_path: Path) -> None:
    def remote(dim: int, url: str) -> dict[str, Any]:
        options = {"base_url": url, "model": "m", "dim": dim}
        return {"kind": "openai", "licence": "none", "options": options}

    entries = {
        "here": remote(384, "http://a/v1"),
        "twin": remote(384, "http://a/v1/"),
        "short": remote(256, "http://b"),
    }
    path = tmp_path / "catalog.yaml"
    path.write_text(yaml.safe_dump({"embedding": entries}))
    arguments = raw["applications"][0]["args"]
    arguments["catalog"], where = str(path), "applications[0].args.embed_fallback.models"

    arguments["embed_fallback"] = {"models": ["minilm", "twin"]}  # the Embedder's own model, in another process
    assert messages(raw) == []

    arguments["embed_fallback"] = {"models": ["twin", "short", "nowhere"]}
    assert [message.split("; ")[0] for message in messages(raw)] == [
        f"{where}[2]: catalog.embedding: no model named 'nowhere'"
    ]
    arguments["embed_fallback"] = {"models": ["twin", "short"]}
    assert messages(raw) == [f"{where}[1]: 'short' has 256 dimensions, but Embedder's model 'minilm' has 384"]

    deployment(raw, "Embedder")["user_config"]["model"] = "here"
    deployment(raw, "Parser")["user_config"]["tokenizer"] = "here"
    arguments["embed_fallback"] = {"models": ["twin"]}
    assert messages(raw) == [f"{where}[0]: 'twin' is on the server of Embedder's model 'here', and would fail with it"]

    arguments["embed_fallback"] = {"models": ["minilm", "minilm"]}
    assert "a model appears twice in the list" in messages(raw)[0]
