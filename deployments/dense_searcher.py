"""Dense search: nearest neighbours by vector, on an index a store that follows the log."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import Field
from ray import serve

from deployments.client import StageClient
from deployments.stage import BatchedStageConfig, parse_user_config, set_batching
from deployments.storage import StorageConfig
from deployments.telemetry.logs import join_serve_log
from models.index.faiss_index import FaissIndex
from models.index.follow import DenseRequest, DenseSearch
from models.types import Deadline, Embeddings, Ranking, Scope, StageStatus


class DenseSearcherConfig(BatchedStageConfig):
    """DenseSearcher's user_config."""

    num_threads: int = Field(default=1, ge=1, le=256, description="Threads of one FAISS search.")


class DenseSearcher:
    """The replica: it can be killed at any time, and reads its indexes anew from the log."""

    _search: DenseSearch
    _num_threads: int | None = None

    def __init__(self, storage: StorageConfig) -> None:
        join_serve_log()
        self._views = storage.open().views
        # One thread owns the indexes: FAISS must not be searched while it is written.
        self._compute = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dense")

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        config = parse_user_config(DenseSearcherConfig, user_config)
        if self._num_threads != config.num_threads:
            self._search = DenseSearch(self._views, lambda dim: FaissIndex(dim, config.num_threads))
            self._num_threads = config.num_threads
        set_batching(self._batches, config)

    async def search(self, request: DenseRequest) -> Ranking:
        """The nearest chunks; concurrent requests share the look at the log and the search of an index."""
        return await self._batches(request)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.0)
    async def _batches(self, requests: list[DenseRequest]) -> list[Ranking]:
        return await self.search_all(requests)

    async def search_all(self, requests: list[DenseRequest]) -> list[Ranking]:
        return await asyncio.get_running_loop().run_in_executor(self._compute, self._search.search, requests)

    async def status(self) -> StageStatus:
        await self.check_health()
        return StageStatus()

    async def check_health(self) -> None:
        """Serve's probe: the database answers."""
        await asyncio.to_thread(self._views.heads, [("", "")])


class DenseSearcherClient(StageClient):
    """What the query path calls. Satisfies serve.pipelines.stages.DenseStage."""

    async def search(self, query: Embeddings, scope: Scope, k: int, deadline: Deadline) -> Ranking:
        request = DenseRequest(query.vectors[0], query.generation, scope, k)
        return await self.call("search", request, deadline=deadline)
