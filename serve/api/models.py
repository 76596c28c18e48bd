"""GET /v1/models: what can be named as `model`, and which catalog model answers each stage now."""

from typing import Any

from fastapi import APIRouter

from models.errors import ModelNotFoundError, NotFoundError
from models.types import Deadline
from serve.api.health import stage_statuses
from serve.api.services import Services, ServicesDep, TenantRoute

router = APIRouter(route_class=TenantRoute)

SERVICE_MODEL = "ragserve"
GENERATE = "generate"


@router.get("/v1/models")
async def list_models(services: ServicesDep) -> dict[str, Any]:
    """The service itself, the models that its stages hold, and the generation model's adapters."""
    return {"object": "list", "data": await _models(services)}


@router.get("/v1/models/{model_id}")
async def get_model(model_id: str, services: ServicesDep) -> dict[str, Any]:
    for model in await _models(services):
        if model["id"] == model_id:
            return model
    raise NotFoundError("model", model_id)


async def _models(services: Services) -> list[dict[str, Any]]:
    statuses = await stage_statuses(services)
    held = {status.model: stage for stage, status in statuses.items() if status is not None and status.model}
    models = [_model(name, stage) for name, stage in {SERVICE_MODEL: "pipeline", **held}.items()]
    generating = [name for name, stage in held.items() if stage == GENERATE]
    adapters = [(adapter, alias) for alias in generating for adapter in services.catalog.adapters(alias)]
    return models + [_model(adapter, GENERATE) | {"parent": alias} for adapter, alias in adapters]


def _model(name: str, stage: str) -> dict[str, Any]:
    """OpenAI's object, and the stage that the model belongs to."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "ragserve", "stage": stage}


async def check_served(name: str, stage: str, services: Services, deadline: Deadline) -> None:
    """Raises ModelNotFoundError unless `name` is the service's, or the alias of the model that the stage serves.

    The stage is only asked about a name that is not the last one it gave: no request of a steady client pays for it.
    """
    if name in (SERVICE_MODEL, services.aliases.get(stage)):
        return
    served = services.aliases[stage] = (await services.stages[stage].status(deadline)).model
    if name != served:
        raise ModelNotFoundError("model", name, [SERVICE_MODEL, served])


async def check_answered(name: str, answered_by: str, stage: str, services: Services, deadline: Deadline) -> None:
    """As check_served, once the stage has answered: it may have another model by now, or let one on trial answer."""
    if name not in (SERVICE_MODEL, answered_by):
        services.aliases.pop(stage, None)
        await check_served(name, stage, services, deadline)
