"""Probes and metrics: /healthz says that this process is alive, /readyz that every stage answers."""

import asyncio
import os
import socket
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from deployments.telemetry.exposition import exposition
from models.breaker import State, worst
from models.errors.stages import StageUnavailableError
from models.stage_status import StageStatus
from serve.api.errors import STATUS
from serve.api.readiness import (
    degraded_shares,
    dependency_states,
    missing_parts,
    missing_servers,
    problems,
    rollout,
    stage_faults,
    unneeded_faults,
)
from serve.api.services import Services, ServicesDep
from serve.api.stage_status import stage_statuses

router = APIRouter()
STAGE_FIELDS = ("model", "runs_on", "unfinished", "oldest_s", "loading", "error", "canary")


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """200 while this process runs."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz")
async def readyz(services: ServicesDep, response: Response) -> dict[str, Any]:
    """200 if answers are whole, otherwise 503. The body reports each stage: its model and its unfinished requests.

    `missing` says in words what answers lack: a stage that does not answer, that has no model or an open breaker, or
    that most of the last five answers lost. `recent` has the answers of the last minute, and the share that lost each
    stage. `problems` are an operator's, though answers are whole: a model that did not load, a stuck parser, a failed
    backup of this ingress' schedule, or a dead stage that answers do without, as configured: a Reranker while stored
    token vectors are scored, a Generator whose model only quotes, an Embedder with a fallback. `rollout` has the
    deployments that Ray Serve is changing, and why.

    A parser reports the age of its oldest file in `oldest_s`, and in `error` that no further file can be begun.
    `runs_on` has the engine, dtype, processor and threads of an encoder.
    `ingress` is the host and the process that answers: one of several ingress replicas.
    `models` has the state of each model of a list: ready, not_loaded, or open if its breaker lets no request through.
    `fallbacks` has the embedder's: ready, not_loaded, unchecked, or the code of an error, such as unequal_vectors.
    `loading` is the model that a stage is loading, and `error` says why the last one failed to load. `breaker` is
    closed, open while questions are answered without the stage, or half_open while a call beside them tries it.
    `dependencies` has the breaker of each server: of `database`, of `database_writes`, and of `redis` and `milvus` if
    they are used. Answers do without Redis, and without writes.
    `document_canary` is the last run of the canary, if it is on: its failure does not make the service unready.
    """
    statuses, under_way = await asyncio.gather(stage_statuses(services), rollout(services))
    losses = services.recent.losses()
    breakers = {stage: _breaker(services, stage) for stage in statuses}
    dependencies = dependency_states(services.dependencies(), statuses)
    faults, unneeded = stage_faults(statuses, breakers), await services.unneeded_stages()
    missing = missing_parts(faults, losses, unneeded) + missing_servers(dependencies)
    if missing:
        response.status_code = STATUS[StageUnavailableError]
    return {
        "ready": not missing,
        "ingress": f"{socket.gethostname()}:{os.getpid()}",
        "missing": missing,
        "problems": [
            *unneeded_faults(faults, unneeded),
            *problems(statuses, dependencies),
            *services.background_problems(),
        ],
        "rollout": under_way,
        "recent": degraded_shares(losses),
        "stages": {stage: _stage(status) | {"breaker": breakers[stage]} for stage, status in statuses.items()},
        "dependencies": dependencies,
        "document_canary": _canary(services),
    }


@router.get("/metrics")
async def metrics() -> Response:
    """Metrics of every replica on this node, in Prometheus' text format."""
    return Response(await asyncio.to_thread(exposition), media_type=CONTENT_TYPE_LATEST)


def _canary(services: Services) -> dict[str, Any] | None:
    """The last run of this process' canary; None without one."""
    last = services.canary.last if services.canary else None
    if last is None:
        return None
    return {"ok": not last.problem, "problem": last.problem or None, "ended_at": last.ended_at.isoformat()}


def _stage(status: StageStatus | None) -> dict[str, Any]:
    if status is None:
        return {"ready": False} | dict.fromkeys(STAGE_FIELDS)
    canary = {"model": status.canary, "share": status.canary_share} if status.canary else None
    return {
        "ready": bool(status.model) or not status.loading,
        "model": status.model or None,
        "runs_on": status.runs_on or None,
        "unfinished": status.num_unfinished,
        "oldest_s": status.oldest_s,
        "loading": status.loading or None,
        "error": status.error or None,
        "canary": canary,
        **({"models": dict(status.models)} if status.models else {}),
        **({"fallbacks": dict(status.fallbacks)} if status.fallbacks else {}),
    }


def _breaker(services: Services, stage: str) -> State:
    return worst([breaker.state for breaker in services.breakers.get(stage, ())])
