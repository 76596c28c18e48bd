"""The graph of `ragserve bench plan`: a plan's stages, simulated, and the ingress that calls them."""

import asyncio
from contextlib import aclosing
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.calls.client import StageClient
from deployments.calls.coalescer import CoalescingConfig
from deployments.calls.envelope import Envelope
from deployments.calls.ray_handle import RayHandle
from deployments.calls.routing import ROUTING
from models.types.request_context import RequestContext
from serve.cli.capacity.plan import Plan, StagePlan
from serve.cli.capacity.profile import StageName
from serve.cli.driver.serve_graph import new_context
from serve.cli.driver.simulated_stages import EngineStage, TokenBatchedStage

PATH = "/query"
BUDGET_S = 120.0
TICK_S = 0.05  # after which an engine looks up how many requests run
CPU_PER_REPLICA = 0.01  # of a replica that sleeps
MAX_ONGOING = 10_000


class QueryBody(BaseModel):
    query: str


@serve.ingress()
class PlanIngress:
    """The request path, by the clients that the service uses."""

    def __init__(
        self,
        handles: dict[StageName, list[DeploymentHandle[Any]]],
        coalescing: CoalescingConfig,
    ) -> None:
        """`handles`: one for each shard of a stage."""
        self._clients = {
            name: [StageClient(RayHandle(shard), name, coalescing) for shard in shards]
            for name, shards in handles.items()
        }

    def __serve_build_asgi_app__(self) -> FastAPI:
        app = FastAPI()

        @app.post(PATH)
        async def query(body: QueryBody) -> QueryBody:
            await self._answer(body.query, new_context(BUDGET_S))
            return body

        return app

    async def _answer(self, query: str, context: RequestContext) -> None:
        """(embed -> dense) beside lexical -> rerank -> generate."""
        await asyncio.gather(self._embed_and_search(query, context), self._run("lexical", query, context))
        await self._run("rerank", query, context)
        (generator,) = self._clients["generate"]
        stream = generator.stream_call("stream", query, Envelope.of(context), context=context)
        async with aclosing(stream) as deltas:
            async for _ in deltas:
                pass

    async def _embed_and_search(self, query: str, context: RequestContext) -> None:
        await self._run("embed", query, context)
        await self._run("dense", query, context)

    async def _run(self, stage: StageName, query: str, context: RequestContext) -> None:
        """Call every shard. The round in which the keyword search's shards count words is left out."""
        await asyncio.gather(*(shard.shared_call("run_all", query, context) for shard in self._clients[stage]))


def plan_graph(plan: Plan) -> serve.Application:
    """The plan's replicas, shards, batches and messages."""
    stages = {name: stage for name, stage in plan.stages.items() if name != "ingress"}
    handles = {
        name: [_stage(stage, f"{name}-{number}") for number in range(stage.shards)] for name, stage in stages.items()
    }
    coalescing = CoalescingConfig(max_items=plan.max_message_items(CoalescingConfig().max_items))
    decorate = serve.deployment(max_ongoing_requests=MAX_ONGOING, ray_actor_options={"num_cpus": CPU_PER_REPLICA})
    return decorate(PlanIngress).bind(handles, coalescing)


def _stage(stage: StagePlan, name: str) -> serve.Application:
    decorate = serve.deployment(
        name=name,
        num_replicas=stage.replicas,
        max_ongoing_requests=MAX_ONGOING,
        request_router_config=ROUTING,
        ray_actor_options={"num_cpus": CPU_PER_REPLICA},
    )
    if stage.times.is_continuous:
        return decorate(EngineStage).bind(stage.times, stage.batch, num_deltas=1, tick_s=TICK_S)
    # An item of one token: the batch size alone limits a batch.
    return decorate(TokenBatchedStage).bind(name, stage.times, stage.batch, item_tokens=1)
