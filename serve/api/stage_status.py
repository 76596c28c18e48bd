"""The status of every stage, as /readyz and /v1/models report it."""

import asyncio

from models.deadline import Deadline
from models.errors.base import RagError
from models.stage_status import StageStatus
from models.types.request_context import RequestContext
from serve.api.services import Services
from serve.pipelines.stages import StatusSource

STATUS_BUDGET_S = 2.0


async def stage_statuses(services: Services) -> dict[str, StageStatus | None]:
    """Status by stage; None for a stage that does not answer within STATUS_BUDGET_S."""
    statuses = await asyncio.gather(*(_status(stage) for stage in services.stages.values()))
    return dict(zip(services.stages, statuses, strict=True))


async def _status(stage: StatusSource) -> StageStatus | None:
    try:
        return await stage.status(RequestContext("readyz", "", Deadline.after(STATUS_BUDGET_S)))
    except RagError:
        return None
