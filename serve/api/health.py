"""Probes and metrics: /healthz says that this process lives, /readyz that every stage answers."""

import asyncio
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from models.errors import RagError
from models.types import Deadline, StageStatus
from serve.api.services import Services, ServicesDep, StatusSource

router = APIRouter()

PROBE_BUDGET_S = 2.0


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(services: ServicesDep, response: Response) -> dict[str, Any]:
    """200 once every stage answers, 503 until then; either way, which do, with what model, and how busy it is.

    `loading` is the model that is to follow, and `error` says why the last one asked for does not serve. A stage that
    is between two models is not ready itself, and the service is: it answers without.
    """
    statuses = await stage_statuses(services)
    ready = all(status is not None for status in statuses.values())
    response.status_code = 200 if ready else 503
    return {"ready": ready, "stages": {stage: _stage(status) for stage, status in statuses.items()}}


@router.get("/metrics")
async def metrics() -> Response:
    """This ingress replica's metrics, in Prometheus' text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def stage_statuses(services: Services) -> dict[str, StageStatus | None]:
    """What each stage says of itself; None for one that does not answer in time."""
    found = await asyncio.gather(*(_status(stage) for stage in services.stages.values()))
    return dict(zip(services.stages, found, strict=True))


async def _status(stage: StatusSource) -> StageStatus | None:
    try:
        return await stage.status(Deadline.after(PROBE_BUDGET_S))
    except RagError:
        return None


def _stage(status: StageStatus | None) -> dict[str, Any]:
    if status is None:
        return {"ready": False} | dict.fromkeys(("model", "unfinished", "loading", "error", "canary"))
    canary = {"model": status.canary, "share": status.canary_share} if status.canary else None
    return {
        "ready": bool(status.model) or not status.loading,
        "model": status.model or None,
        "unfinished": status.num_unfinished,
        "loading": status.loading or None,
        "error": status.error or None,
        "canary": canary,
    }
