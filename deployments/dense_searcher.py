"""Dense search: nearest neighbours by vector, in FAISS indexes that follow the log, or in Milvus."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from deployments.calls.client import StageClient
from deployments.calls.coalescer import AS_SHIPPED, CoalescingConfig
from deployments.calls.handle import Handle
from deployments.replica.searcher import Search, Searcher
from deployments.replica.storage import StorageConfig
from deployments.replica.user_config import BatchedStageConfig, parse_user_config, set_batching
from models.corpus.views import Shard
from models.index.faiss_config import FaissConfig
from models.index.faiss_index import FaissIndex
from models.index.follow import DenseRequest, DenseSearch, merge
from models.index.milvus_search import MilvusDenseSearch
from models.types import Ranking, RequestContext, StageStatus


class DenseSearcherConfig(BatchedStageConfig):
    """DenseSearcher's user_config."""

    index: FaissConfig = Field(default=FaissConfig(), description="The kind of index. Milvus ignores it.")


class DenseSearcher(Searcher):
    """The replica of one shard: DenseRequests in, Rankings out."""

    _index: FaissConfig | None = None

    def __init__(self, storage: StorageConfig, shard: Shard | None = None) -> None:
        """`shard` None: all chunks."""
        super().__init__(storage)
        self._shard = shard

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        config = parse_user_config(DenseSearcherConfig, user_config)
        if self._index != config.index:
            self.start(self._make(config.index))
            self._index = config.index
        set_batching(self._batches, config)

    async def status(self) -> StageStatus:
        return replace(await super().status(), options=f"index={self._index}")

    def _make(self, index: FaissConfig) -> Search:
        milvus = self._storage.milvus
        if milvus is not None:
            return MilvusDenseSearch(self._corpus.views, self._corpus.positions, milvus)
        snapshots = self._storage.snapshots()
        return DenseSearch(self._corpus.views, lambda dim: FaissIndex(dim, index), snapshots, self._shard)


class DenseSearcherClient:
    """Calls every shard, and merges their rankings. Satisfies serve.pipelines.stages.DenseStage."""

    stage = "dense"

    def __init__(self, handles: Sequence[Handle], coalescing: CoalescingConfig = AS_SHIPPED) -> None:
        self._shards = [StageClient(handle, self.stage, coalescing) for handle in handles]

    async def search(self, request: DenseRequest, context: RequestContext) -> Ranking:
        """The best hits of all shards. Raises the error of any shard: a partial ranking would be wrong."""
        calls = (shard.shared_call("search", request, context) for shard in self._shards)
        return merge(await asyncio.gather(*calls), request.k)

    async def status(self, context: RequestContext) -> StageStatus:
        """Raises if a shard has no replica that can answer."""
        statuses = await asyncio.gather(*(shard.status(context) for shard in self._shards))
        return replace(statuses[0], options="; ".join(status.options for status in statuses))
