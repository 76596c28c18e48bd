"""The names that a request may give as `model`: the service's own, or the alias that a stage serves."""

from models.errors import ModelNotFoundError
from models.types import RequestContext
from serve.api.services import Services

SERVICE_MODEL = "ragserve"


async def check_served(name: str, stage: str, services: Services, context: RequestContext) -> None:
    """Raises ModelNotFoundError unless `name` is the service's own, or the alias that the stage serves.

    The stage is asked only when `name` differs from the last alias it reported, so a steady client costs nothing.
    """
    if name in (SERVICE_MODEL, services.aliases.get(stage)):
        return
    served = services.aliases[stage] = (await services.stages[stage].status(context)).model
    if name != served:
        raise ModelNotFoundError("model", name, [SERVICE_MODEL, served])


async def check_answered(name: str, answered_by: str, stage: str, services: Services, context: RequestContext) -> None:
    """Check `name` again after the stage has answered: its model may have changed, or a canary may have answered."""
    if name not in (SERVICE_MODEL, answered_by):
        services.aliases.pop(stage, None)
        await check_served(name, stage, services, context)
