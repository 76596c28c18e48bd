"""Stages that take a stage's time and compute nothing: where they run and how many there are is what is looked at."""

import asyncio
from typing import Any

import ray
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request

from deployments.autoscaling import WorkMeter

# Rerankers get no requests here: theirs is half of the pod that an embedder starts in.
SERVICE_S = {"Embedder": 0.3, "Reranker": 0.3, "Generator": 1.0}
# One client is a quarter of what a replica can do, nine are more than two replicas' worth.
CAPACITY = 4


class Stage:
    """Answers after its time with the id of its Ray node."""

    def __init__(self, service_s: float) -> None:
        self._service_s = service_s
        self._meter = WorkMeter(CAPACITY)

    async def __call__(self) -> str:
        self._meter.arrived(1)
        try:
            await asyncio.sleep(self._service_s)
            self._meter.worked(1, self._service_s)
        finally:
            self._meter.left(1)
        return str(ray.get_runtime_context().get_node_id())

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._meter.stats()


class Ingress:
    """GET /Embedder asks the embedder, and so on."""

    def __init__(self, **stages: DeploymentHandle) -> None:
        self._stages = stages

    async def __call__(self, request: Request) -> dict[str, str]:
        return {"node_id": await self._stages[request.url.path.strip("/")].remote()}


def build(arguments: dict[str, Any]) -> Application:
    """The application, under the names that the deployment file gives to the real stages."""
    stages = {name: serve.deployment(Stage).options(name=name).bind(seconds) for name, seconds in SERVICE_S.items()}
    return serve.deployment(Ingress).bind(**stages)
