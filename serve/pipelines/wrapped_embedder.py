"""What the wrappers of an embedder have in common: the calls that they pass on as they are."""

from collections.abc import Sequence

from models.stage_status import StageStatus
from models.tokens.encoding import TextInput
from models.types.request_context import RequestContext
from models.types.stage_results import Embeddings
from serve.pipelines.stages import EmbedStage


class WrappedEmbedder:
    """Satisfies EmbedStage by another one. A subclass overrides the calls that it changes."""

    def __init__(self, embedder: EmbedStage) -> None:
        self._embedder = embedder

    async def embed_query(
        self, text: str, context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        return await self._embedder.embed_query(text, context, generation, with_tokens)

    async def embed_documents(
        self, texts: list[str], context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        return await self._embedder.embed_documents(texts, context, generation, with_tokens)

    async def embed_inputs(
        self, inputs: Sequence[TextInput], as_queries: bool, dimensions: int | None, context: RequestContext
    ) -> Embeddings:
        return await self._embedder.embed_inputs(inputs, as_queries, dimensions, context)

    async def status(self, context: RequestContext) -> StageStatus:
        return await self._embedder.status(context)
