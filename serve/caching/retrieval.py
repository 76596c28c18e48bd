"""A cache around retrieval: ranked passages."""

from collections.abc import AsyncGenerator
from dataclasses import replace

from models.types.request_context import RequestContext
from serve.caching.codec import decode_retrieved, encode_retrieved
from serve.caching.flights import Flights
from serve.caching.keys import ResultKey, ResultKeys, digest, is_current
from serve.caching.level import CacheLevel
from serve.caching.single_result import single_result, single_source
from serve.pipelines.retrieve import RetrievalConfig
from serve.pipelines.retrieving import RetrievalQuery, Retrieved, Retrieving
from serve.pipelines.trace import Trace

STAGES = ("dense", "lexical", "rerank")


class CachedRetrieval:
    """Satisfies Retrieving. A result is stored if no stage failed and nothing that it depends on changed meanwhile."""

    def __init__(
        self,
        retrieval: Retrieving,
        level: CacheLevel,
        flights: Flights[Retrieved],
        keys: ResultKeys,
        config: RetrievalConfig,
    ) -> None:
        self._retrieval, self._level, self._flights, self._keys = retrieval, level, flights, keys
        self._settings = digest(config)

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """As Retrieving."""
        trace = trace or Trace()
        if not context.use_caches:
            return await self._retrieval.retrieve(query, context, trace)
        with trace.timed("cache"):
            key = await self._key(query)
            retrieved = None if key is None else await self._stored(key, trace)
        if key is None:
            return await self._retrieval.retrieve(query, context, trace)
        if retrieved is not None:
            trace.cached.append(self._level.name)
            return retrieved
        if context.is_hurried:
            return await self._retrieve(key, query, context, trace)
        return await self._shared(key, query, context, trace)

    async def _key(self, query: RetrievalQuery) -> ResultKey | None:
        return await self._keys.of(query.scope, query, self._settings)

    async def _stored(self, key: ResultKey, trace: Trace) -> Retrieved | None:
        return await self._level.get_decoded(key.digest, lambda payload: decode_retrieved(payload, trace))

    async def _shared(self, key: ResultKey, query: RetrievalQuery, context: RequestContext, trace: Trace) -> Retrieved:
        """The result of the leader, whose trace it has; any other reader gets a copy with its own trace."""

        def source() -> AsyncGenerator[Retrieved, None]:
            return single_source(self._retrieve(key, query, context, trace))

        retrieved = await single_result(self._flights.read(key.digest, source, context.deadline))
        if retrieved.trace is trace:
            return retrieved
        trace.take_over(retrieved.trace)
        trace.cached.append(self._level.name)
        return replace(retrieved, trace=trace)

    async def _retrieve(
        self, key: ResultKey, query: RetrievalQuery, context: RequestContext, trace: Trace
    ) -> Retrieved:
        retrieved = await self._retrieval.retrieve(query, context, trace)
        if not key.fits(trace.models):
            self._keys.serving.expire()
        elif not trace.degraded and await is_current(key, self._key(query)):
            self._level.put_encoded(key.digest, encode_retrieved, retrieved)
        return retrieved
