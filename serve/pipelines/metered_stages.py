"""Stages around the real ones, that count the tokens of each tenant. They change no answer."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from models.reranking.query import SearchedQuery
from models.tokens.encoding import TextInput
from models.types.chunks import Passage
from models.types.generation import CompletionRequest
from models.types.request_context import RequestContext
from models.types.stage_results import Embeddings, Relevance, Reranking
from serve.pipelines.metering import Metering, estimated_tokens
from serve.pipelines.stages import CompletionStage, EmbedStage, RerankStage
from serve.pipelines.wrapped_embedder import WrappedEmbedder


class MeteredEmbedder(WrappedEmbedder):
    """Satisfies EmbedStage."""

    def __init__(self, embedder: EmbedStage, metering: Metering) -> None:
        super().__init__(embedder)
        self._metering = metering

    async def embed_query(
        self, text: str, context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        return self._counted(await super().embed_query(text, context, generation, with_tokens), context)

    async def embed_documents(
        self, texts: list[str], context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        return self._counted(await super().embed_documents(texts, context, generation, with_tokens), context)

    async def embed_inputs(
        self, inputs: Sequence[TextInput], as_queries: bool, dimensions: int | None, context: RequestContext
    ) -> Embeddings:
        return self._counted(await super().embed_inputs(inputs, as_queries, dimensions, context), context)

    def _counted(self, embedded: Embeddings, context: RequestContext) -> Embeddings:
        self._metering.read(context.tenant, embedded.model, "embedding", embedded.num_tokens)
        return embedded


class MeteredReranker:
    """Satisfies RerankStage. Limits count the scores that a request asks for itself, not those of a question."""

    def __init__(self, reranker: RerankStage, metering: Metering) -> None:
        self._reranker, self._metering = reranker, metering

    def reads_tokens(self, generation: str) -> bool:
        return self._reranker.reads_tokens(generation)

    async def rerank(self, query: SearchedQuery, candidates: list[Passage], context: RequestContext) -> Reranking:
        reranking = await self._reranker.rerank(query, candidates, context)
        self._metering.reranked(context.tenant, reranking.model, reranking.num_tokens)
        return reranking

    async def score(self, query: str, texts: Sequence[str], context: RequestContext) -> Relevance:
        relevance = await self._reranker.score(query, texts, context)
        self._metering.read(context.tenant, relevance.model, "reranking", relevance.num_tokens)
        return relevance


class MeteredCompletions:
    """Satisfies CompletionStage. A stream is told to end with its usage; a client that did not ask does not get it."""

    def __init__(self, completions: CompletionStage, metering: Metering) -> None:
        self._completions, self._metering = completions, metering

    async def complete(
        self, request: CompletionRequest, context: RequestContext
    ) -> AsyncGenerator[dict[str, Any], None]:
        """As CompletionStage."""
        body = request.body
        is_added = bool(body.get("stream")) and not (body.get("stream_options") or {}).get("include_usage")
        if is_added:
            options = {**(body.get("stream_options") or {}), "include_usage": True}
            request = replace(request, body={**body, "stream_options": options})
        model, num_chars, is_counted = str(body.get("model")), 0, False
        try:
            async with aclosing(self._completions.complete(request, context)) as answers:
                async for answer in answers:
                    usage, model = answer.get("usage"), str(answer.get("model") or model)
                    num_chars += _num_chars(answer.get("choices"))
                    if usage:
                        is_counted = True
                        self._count(model, usage, context)
                    if not is_added:
                        yield answer
                    elif answer.get("choices") or not usage:
                        yield {name: value for name, value in answer.items() if name != "usage"}
        finally:
            if num_chars and not is_counted:  # the client left before the end, where the usage stands
                self._count(model, _estimated(body, num_chars), context)

    async def count_tokens(self, request: CompletionRequest, context: RequestContext) -> int:
        """As CompletionStage. Nothing is computed, so nothing is metered."""
        return await self._completions.count_tokens(request, context)

    def _count(self, model: str, usage: dict[str, Any], context: RequestContext) -> None:
        self._metering.read(context.tenant, model, "prompt", usage.get("prompt_tokens") or 0)
        self._metering.wrote(context.tenant, model, usage.get("completion_tokens") or 0)


def _estimated(body: Mapping[str, Any], num_written_chars: int) -> dict[str, int]:
    num_read_chars = _num_chars(body.get("messages")) + _num_chars(body.get("prompt"))
    num_tokens = map(estimated_tokens, (num_read_chars, num_written_chars))
    return dict(zip(("prompt_tokens", "completion_tokens"), num_tokens, strict=True))


def _num_chars(value: Any) -> int:
    """The characters of all texts in it. Images are no texts."""
    if isinstance(value, str):
        return 0 if value.startswith("data:") else len(value)
    if isinstance(value, Mapping):
        value = value.values()
    return sum(map(_num_chars, value)) if isinstance(value, Iterable) else 0
