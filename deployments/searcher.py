"""What both searchers are: a view of the log that batches its searches and can be killed at any time."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ray import serve

from deployments.storage import StorageConfig
from deployments.telemetry.logs import join_serve_log
from models.index.follow import DenseSearch, LexicalSearch
from models.types import StageStatus


class Searcher:
    """A replica's base. `_search` is set by reconfigure; it reads its indexes anew from the log."""

    _search: DenseSearch | LexicalSearch

    def __init__(self, storage: StorageConfig) -> None:
        join_serve_log()
        self._views = storage.open().views
        # One thread owns the indexes: they must not be searched while they are written.
        self._compute = ThreadPoolExecutor(max_workers=1, thread_name_prefix="search")

    async def search(self, request: Any) -> Any:
        """The best chunks; concurrent requests share the look at the log and the search of an index."""
        return await self._batches(request)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.0)
    async def _batches(self, requests: list[Any]) -> list[Any]:
        return await self.search_all(requests)

    async def search_all(self, requests: list[Any]) -> list[Any]:
        """A ranking a request, in order."""
        return await asyncio.get_running_loop().run_in_executor(self._compute, self._search.search, requests)

    async def status(self) -> StageStatus:
        await self.check_health()
        return StageStatus()

    async def check_health(self) -> None:
        """Serve's probe: the database answers."""
        await asyncio.to_thread(self._views.heads, [("", "")])
