"""Reranking: the stage that reads query and candidates together and puts them in order."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import Field
from ray import serve

from deployments.client import StageClient
from deployments.stage import BatchedStageConfig, load_if_changed, parse_user_config, set_batching
from deployments.telemetry.logs import join_serve_log
from models.catalog import Catalog
from models.reranking.base import RerankingModel, RerankRequest
from models.reranking.blend import blend
from models.types import Deadline, Passage, Reranking, StageStatus


class RerankerConfig(BatchedStageConfig):
    """Reranker's user_config."""

    model: str = Field(default="late-interaction", description="Catalog alias of a reranking model.")
    retrieval_weight: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of retrieval's rank in the final order; 0 is the reranker alone. None: the model's own.",
    )
    max_batch_size: int = Field(default=4, ge=1, le=256, description="Requests, each with its candidates, of a batch.")


class Reranker:
    """The replica: one model, and one thread that computes."""

    _model: RerankingModel
    _config: RerankerConfig

    def __init__(self, catalog: Catalog) -> None:
        join_serve_log()
        self._catalog = catalog
        self._compute = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rerank")

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        config = parse_user_config(RerankerConfig, user_config)
        current = getattr(self, "_model", None)
        self._model = await load_if_changed(self._catalog, "reranking", config.model, current)
        set_batching(self._batches, config)
        self._config = config

    async def rerank(self, request: RerankRequest) -> Reranking:
        """Scores in the order of the request's texts; concurrent requests share a forward pass."""
        return await self._batches(request)

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.0)
    async def _batches(self, requests: list[RerankRequest]) -> list[Reranking]:
        return await self.rerank_all(requests)

    async def rerank_all(self, requests: list[RerankRequest]) -> list[Reranking]:
        """One call of the model for all `requests`, each then blended with its retrieval order."""
        model = self._model
        weight = model.retrieval_weight if self._config.retrieval_weight is None else self._config.retrieval_weight
        scores = await asyncio.get_running_loop().run_in_executor(self._compute, model.score, requests)
        return [Reranking(blend(one, weight), model.name) for one in scores]

    async def status(self) -> StageStatus:
        return StageStatus(model=self._model.name)

    async def check_health(self) -> None:
        """Serve's probe: scores one pair, so a broken model or a stuck device is found out."""
        probe = [RerankRequest("health", ("health",))]
        await asyncio.get_running_loop().run_in_executor(self._compute, self._model.score, probe)


class RerankerClient(StageClient):
    """What the query path calls. Satisfies serve.pipelines.stages.RerankStage."""

    async def rerank(
        self, query: str, candidates: list[Passage], term_weights: dict[str, float], deadline: Deadline
    ) -> Reranking:
        texts = tuple(passage.indexed_text for passage in candidates)
        return await self.call("rerank", RerankRequest(query, texts, term_weights), deadline=deadline)
