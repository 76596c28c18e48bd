"""The seams of the request path: clients of replicas satisfy them in production, the models themselves in a test."""

from collections.abc import AsyncGenerator
from typing import Protocol

from models.documents.chunk import ChunkingOptions
from models.index.follow import DenseRequest, LexicalRequest
from models.types import (
    Deadline,
    Embeddings,
    FloatArray,
    GenerationDelta,
    GenerationRequest,
    KeyArray,
    LexicalRanking,
    ParsedFile,
    Passage,
    Ranking,
    Reranking,
    Scope,
    StageStatus,
)


class EmbedStage(Protocol):
    async def embed_query(self, text: str, deadline: Deadline, generation: str | None = None) -> Embeddings:
        """One row: the query's vector, in the space of `generation`, or of the configured model."""

    async def embed_documents(self, texts: list[str], deadline: Deadline, generation: str | None = None) -> Embeddings:
        """A row a text, in order, in the space of `generation`, or of the configured model."""

    async def status(self, deadline: Deadline) -> StageStatus:
        """Its model, and the generation that it embeds in."""


class DenseStage(Protocol):
    async def search(self, request: DenseRequest, deadline: Deadline) -> Ranking:
        """The `k` nearest chunks, among those embedded in the request's generation."""


class LexicalStage(Protocol):
    async def search(self, request: LexicalRequest, deadline: Deadline) -> LexicalRanking:
        """The `k` best chunks by BM25, and what the corpus makes of the query's words."""


class RerankStage(Protocol):
    async def rerank(
        self, query: str, candidates: list[Passage], term_weights: dict[str, float], deadline: Deadline
    ) -> Reranking:
        """A score for each candidate, which come best first from retrieval."""


class GenerateStage(Protocol):
    def stream(self, request: GenerationRequest, deadline: Deadline) -> AsyncGenerator[GenerationDelta, None]:
        """Deltas as they come; closing it frees the model at once."""


class ParseStage(Protocol):
    async def parse(
        self, content: bytes, filename: str, chunking: ChunkingOptions | None, deadline: Deadline
    ) -> ParsedFile:
        """Text and chunks. Raises UnreadableDocumentError."""


class PassageSource(Protocol):
    def passages(self, keys: KeyArray | list[int], scope: Scope) -> dict[int, Passage]:
        """The chunks that are alive and in scope; a deleted one is absent. Blocks."""

    def vectors_of(self, keys: KeyArray | list[int], generation: str, scope: Scope) -> dict[int, FloatArray]:
        """The vectors (dim,) of those chunks in scope that have one in `generation`. Blocks."""


class GenerationSource(Protocol):
    def searched(self, scope: Scope) -> dict[str, tuple[str, ...]]:
        """The vector stores to search in each generation. Raises NotFoundError. Blocks."""
