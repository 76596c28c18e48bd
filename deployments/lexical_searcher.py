"""Keyword search: BM25 by Tantivy, on an index a store that follows the log."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ray import serve

from deployments.client import StageClient
from deployments.stage import BatchedStageConfig, parse_user_config, set_batching
from deployments.storage import StorageConfig
from deployments.telemetry.logs import join_serve_log
from models.index.follow import LexicalRequest, LexicalSearch
from models.index.tantivy_index import TantivyIndex
from models.types import Deadline, LexicalRanking, Scope, StageStatus


class LexicalSearcherConfig(BatchedStageConfig):
    """LexicalSearcher's user_config."""


class LexicalSearcher:
    """The replica: it can be killed at any time, and reads its indexes anew from the log."""

    def __init__(self, storage: StorageConfig) -> None:
        join_serve_log()
        self._views = storage.open().views
        self._search = LexicalSearch(self._views, TantivyIndex)
        # One thread owns the indexes: a search may have to write first.
        self._compute = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lexical")

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        set_batching(self._batches, parse_user_config(LexicalSearcherConfig, user_config))

    async def search(self, request: LexicalRequest) -> LexicalRanking:
        """The best chunks; concurrent requests share the look at the log."""
        return await self._batches(request)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.0)
    async def _batches(self, requests: list[LexicalRequest]) -> list[LexicalRanking]:
        return await self.search_all(requests)

    async def search_all(self, requests: list[LexicalRequest]) -> list[LexicalRanking]:
        return await asyncio.get_running_loop().run_in_executor(self._compute, self._search.search, requests)

    async def status(self) -> StageStatus:
        await self.check_health()
        return StageStatus()

    async def check_health(self) -> None:
        """Serve's probe: the database answers."""
        await asyncio.to_thread(self._views.heads, [("", "")])


class LexicalSearcherClient(StageClient):
    """What the query path calls. Satisfies serve.pipelines.stages.LexicalStage."""

    async def search(self, query: str, scope: Scope, k: int, deadline: Deadline) -> LexicalRanking:
        return await self.call("search", LexicalRequest(query, scope, k), deadline=deadline)
