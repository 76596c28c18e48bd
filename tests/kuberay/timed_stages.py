"""Simulated stages under the names of the real ones; each answer names the Ray node that gave it."""

from typing import Any

import ray
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request

from serve.cli.driver.simulated_stages import ConcurrentStage

# The reranker gets no requests: its half of a pod is where an embedder starts.
SERVICE_S = {"Embedder": 0.3, "Reranker": 0.3, "Generator": 1.0}
# One client is a quarter of the load that a replica can take, nine are more than the load of two replicas.
CAPACITY = 4


class Stage(ConcurrentStage):
    """Sleeps, then returns the id of its Ray node."""

    def __init__(self, service_s: float) -> None:
        super().__init__(service_s, CAPACITY)

    async def __call__(self) -> str:
        await self.run(None)
        return str(ray.get_runtime_context().get_node_id())


class Ingress:
    """GET /Embedder calls the embedder, and so on."""

    def __init__(self, **stages: DeploymentHandle[Any]) -> None:
        self._stages = stages

    async def __call__(self, request: Request) -> dict[str, str]:
        return {"node_id": await self._stages[request.url.path.strip("/")].remote()}


def build(arguments: dict[str, Any]) -> Application:
    """The application, with the deployment file's names of the real stages."""
    stages = {name: serve.deployment(Stage).options(name=name).bind(seconds) for name, seconds in SERVICE_S.items()}
    return serve.deployment(Ingress).bind(**stages)
