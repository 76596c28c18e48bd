"""GET /v1/models: the names that requests may give as `model`, and the catalog model that serves each stage."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from models.errors.requests import NotFoundError
from serve.api.client_names import ANY_END, SERVICE_MODEL, served_name
from serve.api.served_models import GENERATE
from serve.api.services import Services, ServicesDep, TenantRoute
from serve.api.stage_status import stage_statuses

router = APIRouter(route_class=TenantRoute)

PIPELINE = "pipeline"
CHAT_STAGES = (PIPELINE, GENERATE)
ListedStage = Annotated[
    Literal["pipeline", "embed", "rerank", "generate"] | None,
    Query(description="List the models of this stage instead of those for chat."),
]


@router.get("/v1/models")
async def list_models(services: ServicesDep, stage: ListedStage = None) -> dict[str, Any]:
    """Lists the names that a chat can be sent to, the service itself first; with `stage`, those of another stage."""
    models = await _models(services)
    chat = [model for model in models if model["stage"] in CHAT_STAGES]
    return {"object": "list", "data": chat if stage is None else [model for model in models if model["stage"] == stage]}


@router.get("/v1/models/{model_id}")
async def get_model(model_id: str, services: ServicesDep) -> dict[str, Any]:
    """Describes a model of any stage. A name that stands for one has its description."""
    models = {model["id"]: model for model in await _models(services)}
    target = served_name(model_id, services.settings.api.model_aliases, services.catalog)
    for name in (model_id, target):
        if name in models:
            return models[name] | {"id": model_id}
    raise NotFoundError("model", model_id)


async def _models(services: Services) -> list[dict[str, Any]]:
    """The service, its generation model, that model's adapters, all other models, and the names that stand for them."""
    statuses = await stage_statuses(services)
    serving = {stage: status.model for stage, status in statuses.items() if status is not None and status.model}
    models = {SERVICE_MODEL: _model(SERVICE_MODEL, PIPELINE)}
    for stage in sorted(serving, key=lambda stage: stage != GENERATE):
        models.setdefault(serving[stage], _model(serving[stage], stage))
    for alias, _ in generating.models if (generating := statuses.get(GENERATE)) else ():
        models.setdefault(alias, _model(alias, GENERATE))
    for adapter in services.catalog.adapters(serving[GENERATE]) if GENERATE in serving else ():
        models[adapter] = _model(adapter, GENERATE) | {"parent": serving[GENERATE]}
    aliases = services.settings.api.model_aliases
    names = {name: target for name, target in aliases.items() if not name.endswith(ANY_END) and target in models}
    return [*models.values(), *(models[target] | {"id": name} for name, target in names.items())]


def _model(name: str, stage: str) -> dict[str, Any]:
    """OpenAI's model object, with the model's stage."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "ragserve", "stage": stage}
