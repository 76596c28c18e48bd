"""All caches of one process. They outlive a change of settings: only a level whose own settings change starts empty."""

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from models.catalog import Catalog
from serve.caching import answers, retrieval
from serve.caching.answers import AnswerSettings, CachedAnswering
from serve.caching.config import LEVELS, CacheConfig, LevelName
from serve.caching.embeddings import CachedEmbedder
from serve.caching.flights import Flights
from serve.caching.keys import ResultKeys, StoreStates
from serve.caching.level import CacheLevel, SharedTier
from serve.caching.retrieval import CachedRetrieval
from serve.caching.serving import ServingStages
from serve.pipelines.answering import Answering
from serve.pipelines.query import QueryConfig
from serve.pipelines.retrieve import RetrievalConfig
from serve.pipelines.retrieving import Retrieving
from serve.pipelines.stages import EmbedStage, StatusSource


class Caches:
    """Wraps the stages and the paths in the caches that are enabled. Belongs to one event loop."""

    def __init__(self, states: StoreStates, sources: Mapping[str, StatusSource], catalog: Catalog) -> None:
        self._states = states
        self.serving = ServingStages(sources, catalog)
        self._config = CacheConfig()
        self._shared: SharedTier | None = None
        self._levels = {name: CacheLevel(name, self._config.level(name)) for name in LEVELS}
        self._flights: dict[LevelName, Flights[Any]] = {name: Flights(name) for name in LEVELS}
        self._retired: list[SharedTier] = []

    def configure(self, config: CacheConfig) -> None:
        """Use other settings from the next wrapping on."""
        before, self._config = self._config, config
        if config.redis_url != before.redis_url:
            if self._shared is not None:
                self._retired.append(self._shared)
            self._shared = _open_redis(config.redis_url) if config.redis_url is not None else None
        for name in LEVELS:
            if (config.level(name), config.redis_url) != (before.level(name), before.redis_url):
                self._levels[name].clear()
                self._levels[name] = CacheLevel(name, config.level(name), self._shared)

    def embeddings(self, embedder: EmbedStage) -> EmbedStage:
        if not self._config.embeddings.enabled:
            return embedder
        return CachedEmbedder(embedder, self._levels["embeddings"], self._flights["embeddings"])

    def retrieval(self, retrieving: Retrieving, config: RetrievalConfig) -> Retrieving:
        if not self._config.retrieval.enabled:
            return retrieving
        keys = ResultKeys(self._states, self.serving, retrieval.STAGES)
        return CachedRetrieval(retrieving, self._levels["retrieval"], self._flights["retrieval"], keys, config)

    def answers(self, answering: Answering, query: QueryConfig, config: RetrievalConfig) -> Answering:
        if not self._config.answers.enabled:
            return answering
        keys = ResultKeys(self._states, self.serving, answers.STAGES)
        settings = AnswerSettings(query, config)
        return CachedAnswering(answering, self._levels["answers"], self._flights["answers"], keys, settings)

    async def run(self) -> None:
        """Wait until cancelled, then close the connections."""
        try:
            await asyncio.Event().wait()
        finally:
            await self.serving.close()
            for shared in (*self._retired, *([self._shared] if self._shared else [])):
                await shared.close()


def _open_redis(url: SecretStr) -> SharedTier:
    from serve.caching.redis_tier import RedisTier  # its client library takes time to import

    return RedisTier(url)
