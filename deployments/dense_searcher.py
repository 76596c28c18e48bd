"""Dense search: nearest neighbours by vector, on a FAISS index a store that follows the log."""

from typing import Any

from pydantic import Field

from deployments.client import StageClient
from deployments.searcher import Searcher
from deployments.stage import BatchedStageConfig, parse_user_config, set_batching
from models.index.faiss_index import FaissIndex
from models.index.follow import DenseRequest, DenseSearch
from models.types import Deadline, Embeddings, Ranking, Scope


class DenseSearcherConfig(BatchedStageConfig):
    """DenseSearcher's user_config."""

    num_threads: int = Field(default=1, ge=1, le=256, description="Threads of one FAISS search.")


class DenseSearcher(Searcher):
    """The replica. Takes DenseRequests, gives Rankings."""

    _num_threads: int | None = None

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        config = parse_user_config(DenseSearcherConfig, user_config)
        if self._num_threads != config.num_threads:
            self._search = DenseSearch(self._views, lambda dim: FaissIndex(dim, config.num_threads))
            self._num_threads = config.num_threads
        set_batching(self._batches, config)


class DenseSearcherClient(StageClient):
    """What the query path calls. Satisfies serve.pipelines.stages.DenseStage."""

    async def search(self, query: Embeddings, scope: Scope, k: int, deadline: Deadline) -> Ranking:
        request = DenseRequest(query.vectors[0], query.generation, scope, k)
        return await self.call("search", request, deadline=deadline)
