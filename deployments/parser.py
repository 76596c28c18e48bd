"""Parsing: the stage that turns a file's bytes into text and chunks. CPU work, kept away from every other stage."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import Field

from deployments.autoscaling import SlotMeter
from deployments.calls.client import StageClient
from deployments.replica.user_config import StageConfig, parse_user_config
from deployments.telemetry.logs import join_serve_log
from models.catalog import Catalog
from models.documents.chunk import ChunkingOptions, chunk
from models.documents.parse import parse
from models.documents.tokenizer import Tokenizer
from models.types import ParsedFile, RequestContext, StageStatus


class ParserConfig(StageConfig):
    """Parser's user_config."""

    tokenizer: str = Field(default="minilm", description="Catalog alias of the embedding model whose tokens count.")
    chunk_max_tokens: int = Field(default=220, ge=32, le=4096, description="Size of a chunk, unless the file says.")
    chunk_overlap_tokens: int = Field(default=32, ge=0, le=2048, description="Tokens that neighbouring chunks share.")

    @property
    def chunking(self) -> ChunkingOptions:
        return ChunkingOptions(max_tokens=self.chunk_max_tokens, overlap_tokens=self.chunk_overlap_tokens)


class Parser:
    """The replica: one file at a time, in a thread, so that health checks go on."""

    _config: ParserConfig
    _tokenizer: Tokenizer

    def __init__(self, catalog: Catalog) -> None:
        join_serve_log()
        self._catalog = catalog
        self._compute = ThreadPoolExecutor(max_workers=1, thread_name_prefix="parse")
        self._meter = SlotMeter()

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        config = parse_user_config(ParserConfig, user_config)
        self._tokenizer = await asyncio.to_thread(self._catalog.tokenizer, config.tokenizer)
        self._config = config

    async def parse(self, content: bytes, filename: str, chunking: ChunkingOptions | None) -> ParsedFile:
        """Text and chunks of a file. Raises UnreadableDocumentError."""
        options = chunking or self._config.chunking
        with self._meter.request():
            return await asyncio.get_running_loop().run_in_executor(
                self._compute, parse_and_chunk, content, filename, self._tokenizer, options
            )

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Read by Serve: see deployments/autoscaling.py."""
        return self._meter.stats()

    async def status(self) -> StageStatus:
        return StageStatus()

    async def check_health(self) -> None:
        """Serve's probe: parses a line, so a parser stuck in a hostile file is found out and replaced."""
        await self.parse(b"health", "health.txt", None)


def parse_and_chunk(content: bytes, filename: str, tokenizer: Tokenizer, options: ChunkingOptions) -> ParsedFile:
    document = parse(content, filename)
    return ParsedFile(document.text, tuple(chunk(document, tokenizer, options)))


class ParserClient(StageClient):
    """What the ingest path calls. Satisfies serve.pipelines.stages.ParseStage."""

    async def parse(
        self, content: bytes, filename: str, chunking: ChunkingOptions | None, context: RequestContext
    ) -> ParsedFile:
        return await self.call("parse", content, filename, chunking, context=context)
