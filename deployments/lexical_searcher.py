"""Keyword search: BM25 by Tantivy, on an index a store that follows the log."""

from typing import Any

from deployments.client import StageClient
from deployments.searcher import Searcher
from deployments.stage import BatchedStageConfig, parse_user_config, set_batching
from deployments.storage import StorageConfig
from models.index.follow import LexicalRequest, LexicalSearch
from models.index.tantivy_index import TantivyIndex
from models.types import Deadline, LexicalRanking, Scope


class LexicalSearcherConfig(BatchedStageConfig):
    """LexicalSearcher's user_config."""


class LexicalSearcher(Searcher):
    """The replica. Takes LexicalRequests, gives LexicalRankings."""

    def __init__(self, storage: StorageConfig) -> None:
        super().__init__(storage)
        self._search = LexicalSearch(self._views, TantivyIndex)

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        set_batching(self._batches, parse_user_config(LexicalSearcherConfig, user_config))


class LexicalSearcherClient(StageClient):
    """What the query path calls. Satisfies serve.pipelines.stages.LexicalStage."""

    async def search(self, query: str, scope: Scope, k: int, deadline: Deadline) -> LexicalRanking:
        return await self.call("search", LexicalRequest(query, scope, k), deadline=deadline)
