"""Keyword search: BM25 by Tantivy, in an index for each vector store that follows the log."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from deployments.calls.client import StageClient
from deployments.calls.coalescer import AS_SHIPPED, CoalescingConfig
from deployments.calls.handle import Handle
from deployments.calls.stage_breaker import StageBreaker
from deployments.replica.searcher import Search, Searcher
from deployments.replica.storage import StorageConfig
from deployments.replica.user_config import BatchedStageConfig, parse_user_config
from deployments.telemetry.metrics.stages import breaker_counter
from models.corpus.views import Shard
from models.index.follow import LexicalRequest, LexicalSearch
from models.index.lexical_shards import LexicalShardSearch, ShardAnswer, ShardRequest, merge_answers, total_counts
from models.index.milvus_search import MilvusLexicalSearch
from models.index.tantivy_index import TantivyIndex
from models.index.tantivy_shard import TantivyShard
from models.stage_status import StageStatus
from models.types.ranking import LexicalRanking
from models.types.request_context import RequestContext


class LexicalSearcherConfig(BatchedStageConfig):
    """LexicalSearcher's user_config."""


class LexicalSearcher(Searcher):
    """The replica: LexicalRequests in, LexicalRankings out. A shard's takes ShardRequests and gives ShardAnswers."""

    stage = "lexical"

    def __init__(self, storage: StorageConfig, shard: Shard | None = None) -> None:
        """`shard` None: all chunks."""
        super().__init__(storage)
        self._shard = shard

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        config = parse_user_config(LexicalSearcherConfig, user_config)
        if self._maintenance is None:
            self.start(self._make())
        self._searches.configure(config)

    def _make(self) -> Search:
        milvus, views, snapshots = self._storage.milvus, self._corpus.views, self._storage.snapshots()
        # One process alone can open a file of Milvus Lite: the dense searcher.
        if milvus is not None and not milvus.is_lite and MilvusLexicalSearch.is_supported(milvus):
            return MilvusLexicalSearch(views, self._corpus.positions, milvus, breaker_counter("milvus"))
        if self._shard is not None:
            return LexicalShardSearch(views, TantivyShard, self._shard, snapshots)
        return LexicalSearch(views, TantivyIndex, snapshots)


class LexicalSearcherClient:
    """Calls every shard, and merges their hits. Satisfies serve.pipelines.stages.LexicalStage."""

    stage = "lexical"

    def __init__(self, handles: Sequence[Handle], coalescing: CoalescingConfig = AS_SHIPPED) -> None:
        self._shards = [StageClient(handle, self.stage, coalescing) for handle in handles]

    @property
    def breakers(self) -> list[StageBreaker]:
        """Of each shard."""
        return [client.breaker for client in self._shards]

    async def search(self, request: LexicalRequest, context: RequestContext) -> LexicalRanking:
        """The best hits of all shards. Raises the error of any shard: a partial ranking would be wrong."""
        if len(self._shards) == 1:
            return cast(LexicalRanking, await self._shards[0].shared_call("search", request, context))
        counted = await self._ask_all(ShardRequest(request), context)
        answers = await self._ask_all(ShardRequest(request, total_counts(counted)), context)
        return merge_answers(answers, request.k)

    async def status(self, context: RequestContext) -> StageStatus:
        """Raises if a shard has no replica that can answer."""
        return (await asyncio.gather(*(shard.status(context) for shard in self._shards)))[0]

    async def _ask_all(self, request: ShardRequest, context: RequestContext) -> list[ShardAnswer]:
        return await asyncio.gather(*(shard.shared_call("search", request, context) for shard in self._shards))
