"""Semantic chunking around the Parser: it embeds a file's sentences, and joins them where they mean alike.

Its budget: at most some 4,000 vectors a file, in pages of 256, behind all questions, each page with the time of one
parsing. Small files share pages. Embedding a file takes about twice as long as with another strategy.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.documents.chunkers.base import ChunkingOptions
from models.documents.chunkers.semantic import STRATEGY, SemanticConfig, join_units
from models.enrichment.options import PLAIN, IngestOptions
from models.stage_status import StageStatus
from models.types.chunks import Chunk, ParsedFile
from models.types.request_context import RequestContext
from serve.pipelines.embedding_pages import EmbeddingPages, Space
from serve.pipelines.stages import EmbedStage, ParseStage
from serve.pipelines.suspects import Suspects

VECTORS_ALONE = Space()


class SemanticParsing:
    """A ParseStage. Files of other strategies pass through it unchanged."""

    def __init__(self, parser: ParseStage, embedder: EmbedStage) -> None:
        self._parser = parser
        self._pages = EmbeddingPages(embedder, Suspects())

    async def parse(
        self,
        content: bytes,
        filename: str,
        chunking: ChunkingOptions | None,
        context: RequestContext,
        options: IngestOptions = PLAIN,
    ) -> ParsedFile:
        """As ParseStage. Also raises the embedder's errors."""
        parsed = await self._parser.parse(content, filename, chunking, context, options)
        if chunking is None or chunking.strategy != STRATEGY:
            return parsed
        chunks = await self._join(parsed.text, parsed.chunks, chunking, context)
        return replace(parsed, chunks=tuple(chunks))

    async def status(self, context: RequestContext) -> StageStatus:
        """The parser's."""
        return await self._parser.status(context)

    async def _join(
        self, text: str, units: Sequence[Chunk], chunking: ChunkingOptions, context: RequestContext
    ) -> list[Chunk]:
        config = SemanticConfig(**chunking.parameters)
        vectors = np.zeros((len(units), 1), np.float32)
        if len(units) > 1:
            vectors = (await self._pages.embed([unit.text for unit in units], context, VECTORS_ALONE)).vectors
        return await asyncio.to_thread(join_units, text, units, vectors, chunking, config)
