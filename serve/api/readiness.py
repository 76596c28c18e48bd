"""The body of /readyz: each stage, what is missing from answers, other problems, and a roll-out under way."""

import logging
from collections.abc import Mapping, Sequence, Set
from typing import Any

from models.breaker import State, worst
from models.stage_status import StageStatus
from serve.api.services import Services
from serve.pipelines.recent_answers import Losses

logger = logging.getLogger(__name__)
ANSWERING = ("database", "milvus")
ROLLOUT_S = 2.0  # Serve's controller may be busy
PARSE = "parse"  # of files: no answer waits for it


async def rollout(services: Services) -> dict[str, str]:
    """What Serve says of deployments that are not as configured; empty also if Serve does not answer in time."""
    if services.rollout is None:
        return {}
    report = await services.rollout_look.report(services.rollout, ROLLOUT_S)
    if report is None:
        logger.warning("Ray Serve did not report its deployments within %g s", ROLLOUT_S)
    return report or {}


def stage_faults(statuses: Mapping[str, StageStatus | None], breakers: Mapping[str, State]) -> list[tuple[str, str]]:
    """The stages that cannot be called now, each with the reason in words."""
    silent = [(stage, "no replica answers") for stage, status in statuses.items() if status is None and stage != PARSE]
    loading = [
        (stage, f"no model serves; {status.loading} is loading")
        for stage, status in statuses.items()
        if status is not None and status.loading and not status.model
    ]
    return (
        silent
        + loading
        + [(stage, f"its breaker is {state}") for stage, state in breakers.items() if state != "closed"]
    )


def missing_parts(faults: Sequence[tuple[str, str]], losses: Losses, unneeded: Set[str] = frozenset()) -> list[str]:
    """What answers lack now, in words. They do without the `unneeded` stages."""
    return [f"{stage}: {fault}" for stage, fault in faults if stage not in unneeded] + [
        f"{stage}: {losses.by_stage[stage]} of the last {losses.num_answers} answers are without it"
        for stage in losses.missing
    ]


def unneeded_faults(faults: Sequence[tuple[str, str]], unneeded: Set[str]) -> list[str]:
    """Of stages that answers do without. An operator must repair them all the same."""
    return [f"{stage}: {fault}; answers do without it" for stage, fault in faults if stage in unneeded]


def dependency_states(own: Mapping[str, State], statuses: Mapping[str, StageStatus | None]) -> dict[str, State]:
    """The breaker of each server: of this process, and the worst of the replicas' that call it too."""
    states = {name: [state] for name, state in own.items()}
    for status in statuses.values():
        for name, state in status.dependencies if status is not None else ():
            states.setdefault(name, []).append(state)
    return {name: worst(of_server) for name, of_server in states.items()}


def missing_servers(dependencies: Mapping[str, State]) -> list[str]:
    """The servers without which answers are not whole."""
    return [f"{name}: its breaker is {dependencies[name]}" for name in ANSWERING if _is_left_alone(dependencies, name)]


def problems(statuses: Mapping[str, StageStatus | None], dependencies: Mapping[str, State]) -> list[str]:
    """What an operator must repair though answers are whole: a failed swap, a stuck parser, an open breaker."""
    servers = [name for name in dependencies if name not in ANSWERING and _is_left_alone(dependencies, name)]
    lost = [f"{name}: its breaker is {dependencies[name]}" for name in servers]
    answering = {stage: status for stage, status in statuses.items() if status is not None}
    silent = [f"{PARSE}: no replica answers, so files wait"] if statuses.get(PARSE, answering) is None else []
    errors = [f"{stage}: {status.error}" for stage, status in answering.items() if status.error]
    models = [
        f"{stage}: model {alias} is {state}"
        for stage, status in answering.items()
        for alias, state in status.models
        if state != "ready"
    ]
    fallbacks = [
        f"{stage}: fallback {alias} is {state}"
        for stage, status in answering.items()
        for alias, state in status.fallbacks
        if state != "ready"
    ]
    return lost + silent + errors + models + fallbacks


def degraded_shares(losses: Losses) -> dict[str, Any]:
    """Of the last answers of this ingress: their number, and the share that lost each stage."""
    shares = {stage: round(count / losses.num_answers, 3) for stage, count in losses.by_stage.items()}
    return {"answers": losses.num_answers, "degraded": shares}


def _is_left_alone(dependencies: Mapping[str, State], name: str) -> bool:
    """Also half open: calls wait for the outcome of the probe."""
    return dependencies.get(name, "closed") != "closed"
