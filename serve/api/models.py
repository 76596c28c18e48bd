"""GET /v1/models: the names that requests may give as `model`, and the catalog model that serves each stage."""

from typing import Any

from fastapi import APIRouter

from models.errors import NotFoundError
from serve.api.served_models import GENERATE, SERVICE_MODEL
from serve.api.services import Services, ServicesDep, TenantRoute
from serve.api.stage_status import stage_statuses

router = APIRouter(route_class=TenantRoute)


@router.get("/v1/models")
async def list_models(services: ServicesDep) -> dict[str, Any]:
    """Lists the service itself, the models that its stages serve, and the adapters of the generation model."""
    return {"object": "list", "data": await _models(services)}


@router.get("/v1/models/{model_id}")
async def get_model(model_id: str, services: ServicesDep) -> dict[str, Any]:
    """Describes one of the listed models."""
    for model in await _models(services):
        if model["id"] == model_id:
            return model
    raise NotFoundError("model", model_id)


async def _models(services: Services) -> list[dict[str, Any]]:
    statuses = await stage_statuses(services)
    stage_by_model = {status.model: stage for stage, status in statuses.items() if status is not None and status.model}
    models = [_model(name, stage) for name, stage in {SERVICE_MODEL: "pipeline", **stage_by_model}.items()]
    generating = [name for name, stage in stage_by_model.items() if stage == GENERATE]
    adapters = [(adapter, alias) for alias in generating for adapter in services.catalog.adapters(alias)]
    return models + [_model(adapter, GENERATE) | {"parent": alias} for adapter, alias in adapters]


def _model(name: str, stage: str) -> dict[str, Any]:
    """OpenAI's model object, with the model's stage."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "ragserve", "stage": stage}
