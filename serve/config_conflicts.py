"""Values of a deployment file that contradict each other. Each is valid by itself, but one of them takes no effect."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ray.serve._private.constants import (
    DEFAULT_GRACEFUL_SHUTDOWN_TIMEOUT_S,
    DEFAULT_MAX_ONGOING_REQUESTS,
    DEFAULT_TARGET_ONGOING_REQUESTS,
)

from deployments.cluster.strict_schema import Problem
from deployments.embedder import EmbedderConfig
from models.catalog import Catalog
from models.corpus.backup.repository import FolderRepository, check_apart
from models.errors.base import RagError
from models.errors.configuration import ConfigError
from models.filesystem import has_protocol
from models.remote.config import RemoteConfig
from serve.pipelines.query import QueryConfig
from serve.pipelines.retrieve import RetrievalConfig
from serve.settings import ApiConfig, Settings

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_conflicts(raw: dict[str, Any], is_local: bool = True) -> Iterator[Problem]:
    """The conflicts of a file in the right shape. Not local: `kubernetes render` computes the shutdown times."""
    for index, application in enumerate(raw["applications"]):
        where, deployments = f"applications[{index}]", application.get("deployments") or []
        for deployment in deployments:
            yield from _check_ongoing(deployment, f"{where}.deployments ({deployment['name']})")
        arguments = application.get("args") or {}
        user_config = (
            next((entry.get("user_config") for entry in deployments if entry["name"] == "Ingress"), None) or {}
        )
        try:
            settings = Settings(**arguments).with_user_config(user_config)
        except (RagError, ValidationError, TypeError):
            continue
        yield from _check_fallbacks(settings, _embedding_model(settings, deployments), where)
        yield from _check_breaker(settings, f"{where}.deployments (Ingress).user_config.breaker")
        yield from _check_timeout(raw.get("http_options") or {}, settings.query)
        yield from _check_backups(settings, where)
        if is_local:
            yield from _check_shutdown(deployments, settings.query, where)
            yield from _check_shared(settings, where)  # pods have the URL from a Secret
        yield from _check_admission(settings, deployments, where)
        yield from _check_access(raw.get("http_options") or {}, settings.api, f"{where}.args.api.access")
        if any("rerank_candidates" in (section.get("retrieval") or {}) for section in (arguments, user_config)):
            yield from _check_candidates(settings.retrieval, f"{where}.deployments (Ingress).user_config.retrieval")


def _check_ongoing(deployment: dict[str, Any], where: str) -> Iterator[Problem]:
    """A replica that never has as much work as the autoscaler aims at: no replica would be added."""
    autoscaling = deployment.get("autoscaling_config")
    if not isinstance(autoscaling, dict):
        return
    target = autoscaling.get("target_ongoing_requests") or DEFAULT_TARGET_ONGOING_REQUESTS
    most = deployment.get("max_ongoing_requests") or DEFAULT_MAX_ONGOING_REQUESTS
    if isinstance(target, int | float) and target > most:
        message = f"{target:g} is above max_ongoing_requests, {most:g}: no replica would ever be added"
        yield Problem(f"{where}.autoscaling_config.target_ongoing_requests", message)


def _check_timeout(http_options: dict[str, Any], query: QueryConfig) -> Iterator[Problem]:
    timeout_s = http_options.get("request_timeout_s")
    if timeout_s is not None and timeout_s < query.total_s:
        message = f"{timeout_s:g} is under query.total_s, {query.total_s:g}: Serve would end an answer before its time"
        yield Problem("http_options.request_timeout_s", message)


def _check_shutdown(deployments: list[dict[str, Any]], query: QueryConfig, where: str) -> Iterator[Problem]:
    """A replica that is replaced ends the answers under way after this time. Files are parsed again."""
    for deployment in (entry for entry in deployments if entry["name"] != "Parser"):
        shutdown_s = deployment.get("graceful_shutdown_timeout_s", DEFAULT_GRACEFUL_SHUTDOWN_TIMEOUT_S)
        if shutdown_s < query.total_s:
            message = f"{shutdown_s:g} is under query.total_s, {query.total_s:g}: a new version would cut answers short"
            yield Problem(f"{where}.deployments ({deployment['name']}).graceful_shutdown_timeout_s", message)


def _check_admission(settings: Settings, deployments: list[dict[str, Any]], where: str) -> Iterator[Problem]:
    """Serve would refuse a request before the ingress does, without an error code."""
    questions = settings.admission.max_questions
    for deployment in (entry for entry in deployments if entry["name"] == "Ingress"):
        most = deployment.get("max_ongoing_requests", DEFAULT_MAX_ONGOING_REQUESTS)
        if most < questions:
            message = f"{most} is under admission.max_questions, {questions}: Serve would let the others wait"
            yield Problem(f"{where}.deployments (Ingress).max_ongoing_requests", message)


def _check_access(http_options: dict[str, Any], api: ApiConfig, where: str) -> Iterator[Problem]:
    """A service that others can reach is open only if the file says so."""
    host = http_options.get("host") or LOOPBACK[0]  # Serve's own default
    if host not in LOOPBACK and not api.needs_keys and api.access is None:
        message = f"must be set, since http_options.host is {host}: keys, or open for a service without access control"
        yield Problem(where, message)


def _check_shared(settings: Settings, where: str) -> Iterator[Problem]:
    if settings.limits.shared and settings.cache.redis_url is None:
        yield Problem(f"{where}.args.limits.shared", "needs cache.redis_url (RAGSERVE_REDIS_URL), to count there")


def _check_backups(settings: Settings, where: str) -> Iterator[Problem]:
    url = settings.backups.url
    if url is None or has_protocol(url):
        return
    try:
        check_apart(FolderRepository(Path(url)), settings.storage.blob_root)
    except ConfigError as error:
        yield Problem(f"{where}.args.backups.url", error.message)


def _embedding_model(settings: Settings, deployments: list[dict[str, Any]]) -> str:
    """The alias of the Embedder's model."""
    if settings.inline.Embedder is not None:
        return settings.inline.Embedder.model
    user_config = next((entry.get("user_config") for entry in deployments if entry["name"] == "Embedder"), None)
    return (user_config or {}).get("model") or EmbedderConfig().model


def _check_fallbacks(settings: Settings, model: str, where: str) -> Iterator[Problem]:
    """A fallback of the Embedder has vectors of the same length, and another server."""
    aliases = settings.embed_fallback.models
    try:
        catalog = Catalog.open(settings.catalog)
        options = {alias: catalog.config("embedding", alias) for alias in (model, *aliases)}
    except RagError:
        return  # reported elsewhere
    dim, server = getattr(options[model], "dim", None), _server_of(options[model])
    for place, alias in enumerate(aliases):
        field, other_dim = f"{where}.args.embed_fallback.models[{place}]", getattr(options[alias], "dim", None)
        if dim is not None and other_dim is not None and dim != other_dim:
            yield Problem(field, f"{alias!r} has {other_dim} dimensions, but Embedder's model {model!r} has {dim}")
        elif server is not None and server == _server_of(options[alias]):
            yield Problem(field, f"{alias!r} is on the server of Embedder's model {model!r}, and would fail with it")


def _server_of(options: BaseModel) -> str | None:
    """The address of a model behind a URL; None of another one."""
    return options.base_url.rstrip("/") if isinstance(options, RemoteConfig) else None


def _check_breaker(settings: Settings, where: str) -> Iterator[Problem]:
    """A call that never has so much time never counts as late, and the breaker never opens."""
    needed_s, budget_s = settings.breaker.min_budget_s, min(settings.retrieval.search_s, settings.retrieval.rerank_s)
    if settings.breaker.enabled and needed_s >= budget_s:
        message = f"{needed_s:g} must be below retrieval.search_s and rerank_s, {budget_s:g}: no breaker would open"
        yield Problem(f"{where}.min_budget_s", message)


def _check_candidates(retrieval: RetrievalConfig, where: str) -> Iterator[Problem]:
    if retrieval.rerank_candidates > retrieval.candidates:
        message = f"{retrieval.rerank_candidates} is above candidates, {retrieval.candidates}: no search returns more"
        yield Problem(f"{where}.rerank_candidates", message)
