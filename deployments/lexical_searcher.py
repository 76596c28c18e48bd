"""Keyword search: BM25 by Tantivy, in an index for each vector store that follows the log."""

from typing import Any

from deployments.calls.client import StageClient
from deployments.replica.searcher import Search, Searcher
from deployments.replica.user_config import BatchedStageConfig, parse_user_config, set_batching
from models.index.follow import LexicalRequest, LexicalSearch
from models.index.milvus_search import MilvusLexicalSearch
from models.index.tantivy_index import TantivyIndex
from models.types import LexicalRanking, RequestContext


class LexicalSearcherConfig(BatchedStageConfig):
    """LexicalSearcher's user_config."""


class LexicalSearcher(Searcher):
    """The replica: LexicalRequests in, LexicalRankings out."""

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        config = parse_user_config(LexicalSearcherConfig, user_config)
        if self._maintenance is None:
            self.start(self._make())
        set_batching(self._batches, config)

    def _make(self) -> Search:
        milvus = self._storage.milvus
        # One process alone can open a file of Milvus Lite: the dense searcher.
        if milvus is not None and not milvus.is_lite and MilvusLexicalSearch.is_supported(milvus):
            return MilvusLexicalSearch(self._corpus.views, self._corpus.positions, milvus)
        return LexicalSearch(self._corpus.views, TantivyIndex, self._storage.snapshots())


class LexicalSearcherClient(StageClient):
    """Calls the keyword search. Satisfies serve.pipelines.stages.LexicalStage."""

    async def search(self, request: LexicalRequest, context: RequestContext) -> LexicalRanking:
        return await self.shared_call("search", request, context)
