"""The three servers of `ragserve bench peers`: how each starts, its requests, and the passages of its answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from serve.cli.bench.peers import rows
from serve.cli.bench.peers.rows import HAYSTACK, LANGCHAIN, PeersPlan
from serve.cli.bench.peers.workload import ROOT
from serve.cli.driver.caches import without_caches
from serve.cli.driver.peers import environments
from serve.cli.driver.peers.environments import environment_of
from serve.cli.driver.peers.settings import VARIABLE
from serve.cli.driver.random_models import CROSS_ENCODER
from serve.cli.driver.servers import HOST, Launch, ragserve_with
from serve.config_file import read

CANDIDATES, TOP_K = 30, 5
BUDGET_S = 120.0  # of every stage: under this load an answer waits for its reranking
PIPELINES = Path(environments.__file__).with_name("haystack_pipelines")


@dataclass(frozen=True)
class QueryApi:
    """A server's query endpoint: its path, the body of a question, and the ids of the chunks in an answer."""

    path: str
    body: Callable[[str], dict[str, object]]
    chunk_ids: Callable[[Mapping[str, Any]], list[str]]


def _passages(answer: Mapping[str, Any]) -> list[str]:
    return [passage["chunk_id"] for passage in answer["passages"]]


def our_api(store_id: str) -> QueryApi:
    """Every question goes through both searches, their ranks are fused, and no duplicate is removed."""
    options: dict[str, object] = {"top_k": TOP_K, "mode": "hybrid", "vector_store_ids": [store_id]}
    options["ranking_options"] = {"fusion": "rrf", "dedup": False}
    return QueryApi("/v1/query", lambda question: {"query": question, **options}, _passages)


def without_reranking(api: QueryApi) -> QueryApi:
    """A peer's endpoint, asked not to rerank."""
    return replace(api, body=lambda question: api.body(question) | {"rerank": False})


def ragserve(plan: PeersPlan, folder: Path, catalog: Path, mode: str = rows.CROSS_ENCODER) -> Launch:
    """The deployment file with CANDIDATES of each search, long budgets and, in mode CROSS_ENCODER, that reranker."""
    raw = without_caches(read(plan.config))  # its peers have none
    ingress = next(entry for entry in raw["applications"][0]["deployments"] if entry["name"] == "Ingress")
    settings = ingress.setdefault("user_config", {})
    retrieval = {"candidates": CANDIDATES, "rerank_candidates": CANDIDATES, "search_s": BUDGET_S, "rerank_s": BUDGET_S}
    settings["retrieval"] = (settings.get("retrieval") or {}) | retrieval
    settings["query"] = (settings.get("query") or {}) | {"total_s": 2 * BUDGET_S}
    raw["http_options"]["request_timeout_s"] = 2 * BUDGET_S
    for deployment in raw["applications"][0]["deployments"]:
        deployment["graceful_shutdown_timeout_s"] = 2 * BUDGET_S
    path = folder / "peers_config.yaml"
    path.write_text(yaml.safe_dump(raw))
    models = {"Reranker": CROSS_ENCODER} if mode == rows.CROSS_ENCODER else {}
    return ragserve_with(path, folder, models, catalog)


def haystack(plan: PeersPlan, settings: Path) -> Launch:
    """hayhooks with a folder of pipelines, as its deployment page describes."""
    program = str(environment_of("haystack", plan.peers, plan.may_install) / "hayhooks")
    command = [program, "run", "--host", HOST, "--port", "{port}", "--pipelines-dir", str(PIPELINES)]
    quiet = {"HAYSTACK_TELEMETRY_ENABLED": "False", "HAYHOOKS_LOG_LEVEL": "WARNING"}
    return Launch(HAYSTACK, command, "/status", _environment(settings) | quiet)


def langchain(plan: PeersPlan, settings: Path) -> Launch:
    """uvicorn, as FastAPI's deployment page describes."""
    program = str(environment_of("langchain", plan.peers, plan.may_install) / "python")
    command = [program, "-m", "uvicorn", "serve.cli.driver.peers.langchain_server:app", "--host", HOST]
    command += ["--port", "{port}", "--log-level", "warning"]
    return Launch(LANGCHAIN, command, "/health", _environment(settings))


def _environment(settings: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT), VARIABLE: str(settings)}


@dataclass(frozen=True)
class Peer:
    """How a peer starts, and its query endpoint."""

    launch: Callable[[PeersPlan, Path], Launch]
    api: QueryApi


PEERS = {
    HAYSTACK: Peer(
        haystack,
        QueryApi("/rag/run", lambda question: {"query": question}, lambda answer: _passages(answer["result"])),
    ),
    LANGCHAIN: Peer(langchain, QueryApi("/query", lambda question: {"query": question}, _passages)),
}
