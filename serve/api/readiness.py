"""The body of /readyz: each stage, what is missing from answers, other problems, and a roll-out under way."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from models.breaker import State
from models.stage_status import StageStatus
from serve.api.services import Services
from serve.pipelines.recent_answers import Losses

logger = logging.getLogger(__name__)
ROLLOUT_S = 2.0  # Serve's controller may be busy


async def rollout(services: Services) -> dict[str, str]:
    """What Serve says of deployments that are not as configured; empty also if Serve does not answer in time."""
    if services.rollout is None:
        return {}
    try:
        async with asyncio.timeout(ROLLOUT_S):
            return dict(await asyncio.to_thread(services.rollout))
    except TimeoutError:
        logger.warning("Ray Serve did not report its deployments within %g s", ROLLOUT_S)
        return {}


def missing_parts(
    statuses: Mapping[str, StageStatus | None], losses: Losses, breakers: Mapping[str, State]
) -> list[str]:
    """What answers lack now, in words."""
    parts = [f"{stage}: no replica answers" for stage, status in statuses.items() if status is None]
    parts += [
        f"{stage}: no model serves; {status.loading} is loading"
        for stage, status in statuses.items()
        if status is not None and status.loading and not status.model
    ]
    parts += [f"{stage}: its breaker is open" for stage, state in breakers.items() if state == "open"]
    return parts + [
        f"{stage}: {losses.by_stage[stage]} of the last {losses.num_answers} answers are without it"
        for stage in losses.missing
    ]


def problems(statuses: Mapping[str, StageStatus | None]) -> list[str]:
    """What an operator must repair though answers are whole: a failed swap, a stuck parser, an open breaker."""
    answering = {stage: status for stage, status in statuses.items() if status is not None}
    errors = [f"{stage}: {status.error}" for stage, status in answering.items() if status.error]
    return errors + [
        f"{stage}: model {alias} is {state}"
        for stage, status in answering.items()
        for alias, state in status.models
        if state != "ready"
    ]


def degraded_shares(losses: Losses) -> dict[str, Any]:
    """Of the last answers of this ingress: their number, and the share that lost each stage."""
    shares = {stage: round(count / losses.num_answers, 3) for stage, count in losses.by_stage.items()}
    return {"answers": losses.num_answers, "degraded": shares}
