"""A cache around the embedder: the vectors of questions."""

from collections.abc import AsyncGenerator

from models.types.request_context import RequestContext
from models.types.stage_results import Embeddings
from serve.caching.codec import decode_embeddings, encode_embeddings
from serve.caching.flights import Flights
from serve.caching.keys import digest
from serve.caching.level import CacheLevel
from serve.caching.single_result import single_result, single_source
from serve.pipelines.stages import EmbedStage
from serve.pipelines.wrapped_embedder import WrappedEmbedder


class CachedEmbedder(WrappedEmbedder):
    """Satisfies EmbedStage. A vector depends on the text and the generation alone, so a new file changes no entry.

    Only queries in a named generation are cached, and not what a fallback embedded: it may lack token vectors.
    Tenants do not share entries: the time of an answer would tell one what another has searched for.
    """

    def __init__(self, embedder: EmbedStage, level: CacheLevel, flights: Flights[Embeddings]) -> None:
        super().__init__(embedder)
        self._level, self._flights = level, flights

    async def embed_query(
        self, text: str, context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        if generation is None or not context.use_caches:
            return await self._embedder.embed_query(text, context, generation, with_tokens)
        key = digest(context.tenant, generation, with_tokens, text)
        stored = await self._level.get_decoded(key, decode_embeddings)
        if stored is not None:
            return stored

        def source() -> AsyncGenerator[Embeddings, None]:
            return single_source(self._embed(key, text, context, generation, with_tokens))

        return await single_result(self._flights.read(key, source, context.deadline))

    async def _embed(
        self, key: str, text: str, context: RequestContext, generation: str, with_tokens: bool
    ) -> Embeddings:
        embedded = await self._embedder.embed_query(text, context, generation, with_tokens)
        if embedded.generation == generation and not embedded.fell_back:
            self._level.put_encoded(key, encode_embeddings, embedded)
        return embedded
