"""Which deployments Ray Serve is changing, or cannot keep as they are configured."""

from collections.abc import Mapping
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve._private.common import DeploymentStatus

STEADY = (DeploymentStatus.HEALTHY, DeploymentStatus.UPSCALING, DeploymentStatus.DOWNSCALING)


def states(application: str = "ragserve") -> dict[str, str]:
    """The state of each deployment, in lower case. Blocks; empty if Serve is gone."""
    try:
        overview = serve.status().applications.get(application)
    except RayError:
        return {}
    return {} if overview is None else {name: state.status.lower() for name, state in overview.deployments.items()}


def rollout(application: str = "ragserve") -> dict[str, str]:
    """Each deployment that is updating or unhealthy, with its replicas by state. Blocks; empty if Serve is gone."""
    try:
        overview = serve.status().applications.get(application)
    except RayError:
        return {}
    if overview is None:
        return {}
    return {
        name: f"{state.status.lower()}: {_counts(state.replica_states)}"
        for name, state in overview.deployments.items()
        if state.status not in STEADY
    }


def _counts(replicas: Mapping[Any, int]) -> str:
    """Such as `1 running, 1 starting`. A state is a string of Serve's."""
    return ", ".join(f"{count} {state.lower().replace('_', ' ')}" for state, count in replicas.items() if count)
