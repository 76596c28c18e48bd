"""All caches of one process. They outlive a change of settings: only a level whose own settings change starts empty."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from models.breaker import Breaker
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
from serve.caching.stale import KeptGeneration, StaleGeneration, StaleRetrieval, StaleStore
from serve.pipelines.answering import Answering
from serve.pipelines.query import QueryConfig
from serve.pipelines.retired import RetiredConnections
from serve.pipelines.retrieve import RetrievalConfig
from serve.pipelines.retrieving import Retrieving
from serve.pipelines.stages import EmbedStage, GenerateStage, PassageSource, StatusSource


class Caches:
    """Wraps the stages and the paths in the caches that are enabled. Belongs to one event loop."""

    def __init__(self, states: StoreStates, sources: Mapping[str, StatusSource], catalog: Catalog) -> None:
        self._states = states
        self.serving = ServingStages(sources, catalog)
        self._config = CacheConfig()
        self._shared: SharedTier | None = None
        self._levels = {name: CacheLevel(name, self._config.level(name)) for name in LEVELS}
        self._flights: dict[LevelName, Flights[Any]] = {name: Flights(name) for name in LEVELS}
        self._retired = RetiredConnections()

    def configure(self, config: CacheConfig) -> None:
        """Use other settings from the next wrapping on."""
        before, self._config = self._config, config
        server, server_before = _server_of(config), _server_of(before)
        if server != server_before:
            if self._shared is not None:
                self._retired.add(self._shared)
            self._shared = None if config.redis_url is None else _open_redis(config.redis_url, config.redis_timeout_s)
        for name in LEVELS:
            if (config.level(name), server) != (before.level(name), server_before):
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

    @property
    def breakers(self) -> Sequence[Breaker]:
        """Of the shared tier, if there is one."""
        return () if self._shared is None else (self._shared.breaker,)

    def stale_retrieval(self, retrieving: Retrieving, passages: PassageSource, config: RetrievalConfig) -> Retrieving:
        if not self._config.stale.enabled:
            return retrieving
        return StaleRetrieval(retrieving, self._stale, passages, config)

    def kept_generation(self, generator: GenerateStage) -> GenerateStage:
        return KeptGeneration(generator, self._stale) if self._config.stale.enabled else generator

    def stale_generation(self, fallback: GenerateStage) -> GenerateStage:
        return StaleGeneration(fallback, self._stale) if self._config.stale.enabled else fallback

    @property
    def _stale(self) -> StaleStore:
        return StaleStore(self._levels["stale"], self._config.stale.ttl_s, self.serving.last_model)

    async def run(self) -> None:
        """Runs until cancelled. Connections to a server that is no longer configured are closed at once."""
        try:
            await self._retired.run()
        finally:
            await self.serving.close()
            await self._retired.close()
            if self._shared is not None:
                await self._shared.close()


def _server_of(config: CacheConfig) -> tuple[SecretStr | None, float]:
    return config.redis_url, config.redis_timeout_s


def _open_redis(url: SecretStr, timeout_s: float) -> SharedTier:
    from serve.caching.redis_tier import RedisTier  # its client library takes time to import

    return RedisTier(url, timeout_s)
