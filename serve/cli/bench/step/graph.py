"""The graph of `ragserve bench step`: the stages of a question, simulated, and the ingress that calls them."""

from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.calls.client import StageClient
from deployments.calls.envelope import Envelope
from deployments.calls.ray_handle import RayHandle
from deployments.calls.routing import ROUTING
from models.types.request_context import RequestContext
from serve.cli.bench.step.plan import ASK, PARSE
from serve.cli.driver.serve_graph import MAX_ONGOING, deployment, new_context, serve_cluster
from serve.cli.driver.simulated_stages import (
    BatchTime,
    DecodeTime,
    EngineStage,
    SerialStage,
    ServeBatchedStage,
    TokenBatchedStage,
)

APPLICATION = "step"
RUNNING = "RUNNING"  # of Serve's ReplicaState
BUDGET_S = 60.0  # of a request: a late answer is measured as late, not as failed
CPU_PER_REPLICA = 0.05
POLICY = "deployments.autoscaling:LatencyBudgetPolicy"
SLOTS = 16


@dataclass(frozen=True)
class Stage:
    """A stage of the graph. `wait_s` is its part of the latency budget: how long work may wait for a replica of it.

    `max_ongoing` is what one replica accepts at once, about what it finishes in `wait_s`. The other requests wait at
    the handles, where a new replica takes them over.
    """

    name: str
    kind: type
    arguments: tuple[Any, ...]
    max_ongoing: int
    wait_s: float
    min_replicas: int = 1
    max_replicas: int = 8

    def autoscaling(self) -> dict[str, Any]:
        """Serve's autoscaling_config. A step of the policy at most doubles the replicas, or removes one."""
        policy = {"budget_s": self.wait_s, "drain_s": 15.0, "utilization": 0.7, "hold_s": 25.0}
        return {
            "min_replicas": self.min_replicas,
            "max_replicas": self.max_replicas,
            "upscale_delay_s": 2.0,
            "downscale_delay_s": 5.0,
            "metrics_interval_s": 1.0,
            "look_back_period_s": 3.0,
            "policy": {"policy_function": POLICY, "policy_kwargs": policy},
        }


# Query embedding, search of an index that fills the card, 30 pairs of a cross-encoder, 48 tokens of an LLM.
STAGES = (
    Stage("embed", TokenBatchedStage, ("embed", BatchTime(0.010, 0.002), 32), max_ongoing=32, wait_s=0.3),
    Stage("search", ServeBatchedStage, (BatchTime(0.030, 0.015),), max_ongoing=16, wait_s=0.3),
    Stage("rerank", TokenBatchedStage, ("rerank", BatchTime(0.020, 0.050), 8), max_ongoing=12, wait_s=0.6),
    Stage("generate", EngineStage, (DecodeTime(48, 0.020, 0.0005, SLOTS), SLOTS), max_ongoing=24, wait_s=1.5),
    Stage("parse", SerialStage, (0.5,), max_ongoing=8, wait_s=10.0, min_replicas=0, max_replicas=4),
)


class AskBody(BaseModel):
    text: str


@serve.ingress()
class StepIngress:
    """The request path, by the clients that the service uses. Files go to the parser alone."""

    def __init__(
        self,
        embed: DeploymentHandle[Any],
        search: DeploymentHandle[Any],
        rerank: DeploymentHandle[Any],
        generate: DeploymentHandle[Any],
        parse: DeploymentHandle[Any],
    ) -> None:
        encoders = {"embed": embed, "search": search, "rerank": rerank}
        self._encoders = [StageClient(RayHandle(handle), stage) for stage, handle in encoders.items()]
        self._generate = StageClient(RayHandle(generate), "generate")
        self._parse = StageClient(RayHandle(parse), "parse")

    def __serve_build_asgi_app__(self) -> FastAPI:
        app = FastAPI()

        @app.post(ASK)
        async def ask(body: AskBody) -> AskBody:
            return AskBody(text=await self._answer(body.text, new_context(BUDGET_S)))

        @app.post(PARSE)
        async def parse(body: AskBody) -> AskBody:
            return AskBody(text=await self._parse.call("run", body.text, context=new_context(BUDGET_S)))

        return app

    async def _answer(self, text: str, context: RequestContext) -> str:
        for stage in self._encoders:
            await stage.shared_call("run_all", text, context)
        stream = self._generate.stream_call("stream", text, Envelope.of(context), context=context)
        async with aclosing(stream) as deltas:
            return " ".join([delta async for delta in deltas])


@contextmanager
def step_graph() -> Iterator[int]:
    """The application, on a cluster of its own; the port of Serve's proxy."""
    with serve_cluster() as port:
        stages = [_deployment(stage).bind(*stage.arguments) for stage in STAGES]
        serve.run(deployment(StepIngress, "ingress").bind(*stages), name=APPLICATION, route_prefix="/")
        yield port


def _deployment(stage: Stage) -> serve.Deployment:
    return serve.deployment(
        name=stage.name,
        max_ongoing_requests=stage.max_ongoing,
        max_queued_requests=MAX_ONGOING,
        autoscaling_config=stage.autoscaling(),
        request_router_config=ROUTING,
        ray_actor_options={"num_cpus": CPU_PER_REPLICA},
    )(stage.kind)


def running_replicas() -> dict[str, int]:
    """Replicas that run, by stage."""
    deployments = serve.status().applications[APPLICATION].deployments
    states = {stage.name: deployments[stage.name].replica_states for stage in STAGES}
    return {name: sum(count for state, count in counts.items() if state == RUNNING) for name, counts in states.items()}
