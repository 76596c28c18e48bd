"""Parsing: the stage that turns a file's bytes into text and chunks. A bad file may crash only its child process."""

import asyncio
import logging
import math
from typing import Any

from pydantic import Field

from deployments.autoscaling import SlotMeter
from deployments.calls.client import StageClient
from deployments.calls.envelope import Envelope
from deployments.replica.child_process import ChildFailedError, ChildLimits, ChildProcess, Limit
from deployments.replica.liveness import Liveness
from deployments.replica.user_config import StageConfig, parse_user_config
from deployments.telemetry.logs import join_serve_log
from models.catalog import Catalog
from models.documents.chunkers.base import ChunkingOptions
from models.documents.file_parser import FileParser
from models.documents.kinds import DEFAULT_CHUNKER, DocumentKinds
from models.errors import RagError, UnreadableDocumentError
from models.types import ParsedFile, RequestContext, StageStatus

WALL_PER_CPU = 4  # other processes may take the cores meanwhile; see NICENESS in replica/child_main.py
logger = logging.getLogger(__name__)


class ParserConfig(StageConfig):
    """Parser's user_config."""

    tokenizer: str = Field(
        default="minilm", description="Catalog alias of the embedding model whose tokens are counted."
    )
    chunker: str = Field(
        default=DEFAULT_CHUNKER, description="Catalog alias of the chunker, which cuts documents into chunks."
    )
    chunk_max_tokens: int = Field(
        default=220, ge=32, le=4096, description="Most tokens of a chunk; a file's own chunking_strategy replaces it."
    )
    chunk_overlap_tokens: int = Field(
        default=32, ge=0, le=2048, description="Tokens that neighbouring chunks have in common."
    )
    max_memory_mb: int = Field(
        default=2048, ge=256, le=65_536, description="Memory for parsing one file, in MiB; past it the file fails."
    )
    max_cpu_s: int = Field(
        default=120, ge=1, le=3600, description="CPU time for parsing one file, in seconds; past it the file fails."
    )

    @property
    def chunking(self) -> ChunkingOptions:
        return ChunkingOptions(max_tokens=self.chunk_max_tokens, overlap_tokens=self.chunk_overlap_tokens)

    @property
    def limits(self) -> ChildLimits:
        return ChildLimits(self.max_memory_mb * 1024**2, self.max_cpu_s, WALL_PER_CPU * self.max_cpu_s)


class Parser:
    """The replica: one file at a time, in a child process. A file that breaks a limit fails; the next one is parsed."""

    _config: ParserConfig
    _child: ChildProcess | None = None

    def __init__(self, catalog: Catalog) -> None:
        join_serve_log()
        self._catalog = catalog
        self._meter = SlotMeter()
        self._liveness = Liveness("parse", math.inf)  # the child's limits end a file that takes too long

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        config = parse_user_config(ParserConfig, user_config)
        tokenizer = await asyncio.to_thread(self._catalog.tokenizer, config.tokenizer)
        await asyncio.to_thread(self._catalog.config, "chunking", config.chunker)
        kinds = DocumentKinds(self._catalog, config.chunker)
        previous, self._child = self._child, ChildProcess(config.limits, FileParser, tokenizer, kinds)
        self._config = config
        if previous is not None:
            await previous.close()  # once its file is parsed

    async def parse(
        self, content: bytes, filename: str, chunking: ChunkingOptions | None, envelope: Envelope
    ) -> ParsedFile:
        """Text and chunks of a file. Raises UnreadableDocumentError."""
        config = self._config
        with self._meter.request():
            try:
                with self._liveness.working():
                    return await self._parse(content, filename, chunking or config.chunking)
            except ChildFailedError as error:
                logger.warning("stage parse: %s: the child process failed: %s", envelope.request_id, error.limit)
                raise UnreadableDocumentError(filename, "invalid_file", _explain(error.limit, config)) from None
            except RagError:
                raise
            except Exception as error:  # a bug of the parser, which may be the user's own; it would fail again
                logger.exception("stage parse: %s: the parser failed", envelope.request_id)
                detail = f"its parser failed with {type(error).__name__}: {error}"
                raise UnreadableDocumentError(filename, "server_error", detail) from None

    async def _parse(self, content: bytes, filename: str, options: ChunkingOptions) -> ParsedFile:
        """Parses in the child. A killed child gets a second attempt: something outside the file may have killed it."""
        assert self._child is not None  # Serve configures a replica before it sends it anything
        parsed: ParsedFile
        try:
            parsed = await self._child.call(content, filename, options)
        except ChildFailedError as error:
            if error.limit != "killed":
                raise
            parsed = await self._child.call(content, filename, options)
        return parsed

    async def close(self) -> None:
        """End the child process."""
        if self._child is not None:
            await self._child.close()

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Read by Serve: see deployments/autoscaling.py."""
        return self._meter.stats()

    async def status(self) -> StageStatus:
        return StageStatus()

    async def check_health(self) -> None:
        """Serve's probe: see Liveness. An idle parser parses a line."""
        await self._liveness.check(self._probe)

    async def _probe(self) -> None:
        await self.parse(b"health", "health.txt", None, Envelope("health", "", self._config.limits.wall_s))


def _explain(limit: Limit, config: ParserConfig) -> str:
    """Why the file failed, and what to do."""
    if limit in ("memory", "killed"):
        return f"parsing it needs more than {config.max_memory_mb} MiB of memory; split it, or save it in a simpler way"
    if limit == "cpu_time":
        return f"parsing it needs more than {config.max_cpu_s} s of CPU time; split it, or save it in a simpler way"
    if limit == "wall_time":
        return f"parsing it takes more than {config.limits.wall_s:g} s; split it, or save it in a simpler way"
    return "it crashed the parser: it is damaged, or made to crash parsers"


class ParserClient(StageClient):
    """Calls the parser. Satisfies serve.pipelines.stages.ParseStage."""

    async def parse(
        self, content: bytes, filename: str, chunking: ChunkingOptions | None, context: RequestContext
    ) -> ParsedFile:
        return await self.call("parse", content, filename, chunking, Envelope.of(context), context=context)
