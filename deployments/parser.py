"""Parsing: the stage that turns a file's bytes into text and chunks. A bad file may crash only its child process."""

import asyncio
import logging
import math
import os
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import Field

from deployments.autoscaling import SlotMeter
from deployments.calls.client import StageClient
from deployments.calls.coalescer import answers_of
from deployments.calls.envelope import Envelope
from deployments.replica.broken_files import BrokenFiles
from deployments.replica.child_pool import ChildPool
from deployments.replica.child_process import ChildFailedError, ChildLimits, ChildStartError, Limit
from deployments.replica.liveness import Liveness
from deployments.replica.received import received
from deployments.replica.start import start_replica
from deployments.replica.user_config import StageConfig, parse_user_config
from deployments.telemetry.stage_metrics import QueuedCall, StageMetrics
from models.catalog import Catalog
from models.documents.chunkers.base import ChunkingOptions
from models.documents.file_parser import FileParser
from models.documents.kinds import DEFAULT_CHUNKER, DocumentKinds
from models.documents.signatures import signature_of
from models.enrichment.options import PLAIN, IngestOptions
from models.errors.base import RagError
from models.errors.configuration import ConfigError
from models.errors.limits import OverloadedError
from models.errors.requests import UnreadableDocumentError
from models.errors.stages import StageUnavailableError
from models.stage_status import StageStatus
from models.types.chunks import ParsedFile
from models.types.request_context import RequestContext

WALL_PER_CPU = 4  # other processes may take the cores meanwhile; see NICENESS in replica/child_main.py
STUCK_S = 60.0  # without a file that ended, while no further file can begin
MAX_SHARED_BYTES = 64 * 1024  # a larger file has a message of its own
# A file that takes longer is asked for again, in a message of its own: the other files' answers do not wait for it.
SHARED_FILE_S = 3.0
SHARED_MESSAGE_S = 30.0  # with the time in the queue
# Why a file failed, by the limit that its child process broke; for any other end the child crashed.
TOO_COMPLEX = "too_complex"
CAUSES: dict[Limit, str] = dict.fromkeys(("memory", "killed", "cpu_time", "wall_time"), TOO_COMPLEX)
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
    files_at_once: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Files that one replica parses at once, each in a process of its own; null is one for each core.",
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


@dataclass(frozen=True)
class ParseCall:
    """A file to parse. `chunking` None is the replica's own. `options` are those of its vector store."""

    content: bytes
    filename: str
    chunking: ChunkingOptions | None
    options: IngestOptions = PLAIN


class Parser:
    """The replica: files side by side, each in a child process. A file that breaks a limit fails alone."""

    stage = "parse"

    _config: ParserConfig
    _children: ChildPool | None = None

    def __init__(self, catalog: Catalog) -> None:
        start_replica(self.stage)
        self._catalog = catalog
        self._meter, self._metrics = SlotMeter(), StageMetrics(self.stage)
        self._liveness = Liveness("parse", math.inf)  # the child's limits end a file that takes too long

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        config = parse_user_config(ParserConfig, user_config)
        tokenizer = await asyncio.to_thread(self._catalog.tokenizer, config.tokenizer)
        await asyncio.to_thread(self._catalog.config, "chunking", config.chunker)
        _refuse_semantic(self._catalog, config.chunker)
        kinds = DocumentKinds(self._catalog, config.chunker)
        at_once = config.files_at_once or len(os.sched_getaffinity(0))
        previous, self._children = self._children, ChildPool(at_once, config.limits, FileParser, tokenizer, kinds)
        self._config, self._meter.slots = config, at_once
        self._broken = BrokenFiles()  # with the new limits, files may be parsed
        if previous is not None:
            await previous.close()  # once its files are parsed

    @received
    async def parse(
        self,
        content: bytes,
        filename: str,
        chunking: ChunkingOptions | None,
        envelope: Envelope,
        options: IngestOptions = PLAIN,
    ) -> ParsedFile:
        """Text and chunks of a file. See `parse_call`."""
        with self._metrics.counting_drops():
            return await self.parse_call(ParseCall(content, filename, chunking, options), envelope)

    async def parse_call(self, call: ParseCall, envelope: Envelope, limit_s: float | None = None) -> ParsedFile:
        """Text and chunks of a file. Raises UnreadableDocumentError, and TimeoutError after `limit_s` of parsing.

        Raises OverloadedError if no child process starts: it is not the file's fault. A file that broke a limit for the
        same request before fails at once.
        """
        if failure := self._broken.failure(envelope.request_id, call.content):
            raise UnreadableDocumentError(call.filename, "invalid_file", *failure)
        try:
            return await self._parse_file(call, envelope, limit_s)
        except UnreadableDocumentError as error:
            if error.cause == TOO_COMPLEX:
                self._broken.add(envelope.request_id, call.content, error.detail, error.cause)
            raise

    async def _parse_file(self, call: ParseCall, envelope: Envelope, limit_s: float | None = None) -> ParsedFile:
        config, filename = self._config, call.filename
        with self._meter.request():
            try:
                with self._liveness.working(), self._metrics.queued() as queued:
                    parsed = await self._parse(call, envelope.tenant, limit_s, queued)
                self._metrics.computed(1, queued.computed_s)
                _log_reading(parsed)
                return parsed
            except ChildFailedError as error:
                logger.warning("stage parse: the child process failed: %s", error.limit)
                detail, cause = _explain(error.limit, config), CAUSES.get(error.limit, "parser_crash")
                raise UnreadableDocumentError(filename, "invalid_file", detail, cause) from None
            except ChildStartError as error:
                logger.error("stage parse: %s", error)
                raise OverloadedError("parse") from None
            except (RagError, TimeoutError):
                raise
            except Exception as error:  # a bug of the parser, which may be the user's own; it would fail again
                detail = f"its parser failed with {type(error).__name__}"
                if call.options.masked:  # the error may quote the file
                    logger.error("stage parse: %s", detail)
                    raise UnreadableDocumentError(filename, "server_error", detail, "parser_error") from None
                logger.exception("stage parse: the parser failed")
                detail = f"{detail}: {error}"
                raise UnreadableDocumentError(filename, "server_error", detail, "parser_error") from None

    @received
    async def parse_batch(
        self, message: list[ParseCall], envelopes: list[Envelope]
    ) -> list[ParsedFile | RagError | None]:
        """A message of small files. None for a file that takes long: it needs a message of its own."""
        calls = zip(message, envelopes, strict=True)
        return await answers_of("parse", envelopes, (self._parse_soon(call, envelope) for call, envelope in calls))

    async def _parse_soon(self, call: ParseCall, envelope: Envelope) -> ParsedFile | None:
        with self._metrics.counting_drops():
            try:
                async with asyncio.timeout(SHARED_MESSAGE_S):
                    return await self.parse_call(call, envelope, SHARED_FILE_S)
            except TimeoutError:
                self._metrics.retried()
                return None

    async def _parse(self, call: ParseCall, tenant: str, limit_s: float | None, queued: QueuedCall) -> ParsedFile:
        """Parses in a child. A killed child gets a second attempt: something outside the file may have killed it."""
        assert self._children is not None  # Serve configures a replica before it sends it anything
        arguments = (call.content, call.filename, call.chunking or self._config.chunking, call.options)
        parse = partial(self._children.call, tenant, *arguments, limit_s=limit_s, begin=queued.begin)
        parsed: ParsedFile
        try:
            parsed = await parse()
        except ChildFailedError as error:
            if error.limit != "killed":
                raise
            self._metrics.retried()
            parsed = await parse()
        return parsed

    async def close(self) -> None:
        """End the child processes."""
        if self._children is not None:
            await self._children.close()

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Read by Serve: see deployments/autoscaling.py."""
        return self._meter.stats()

    async def status(self) -> StageStatus:
        """`error` says so if no file can begin, and none has ended for STUCK_S.

        Raises StageUnavailableError if the last child process did not start.
        """
        live, children = self._liveness, self._children
        if children is not None and children.start_problem:
            raise StageUnavailableError("parse")
        is_stuck = children is not None and not children.has_room and live.stalled_s() > STUCK_S
        error = f"every parser is busy, and no file has ended for {live.stalled_s():.0f} s" if is_stuck else ""
        return StageStatus(num_unfinished=live.num_running, oldest_s=round(live.oldest_s(), 1), error=error)

    async def check_health(self) -> None:
        """Serve's probe: see Liveness. An idle parser parses a line."""
        await self._liveness.check(self._probe)

    async def _probe(self) -> None:
        await self._parse_file(
            ParseCall(b"health", "health.txt", None), Envelope("health", "", self._config.limits.wall_s)
        )


def _is_image(content: bytes) -> bool:
    """Whether a file, however small, takes long: its text is recognized."""
    signature = signature_of(content)
    return signature is not None and signature.is_image


def _refuse_semantic(catalog: Catalog, chunker: str) -> None:
    """The Parser has no embedder: the ingest path joins the sentences of files with this strategy of their own."""
    if catalog.entry("chunking", chunker).kind == "semantic":
        problem = f"{chunker!r} needs vectors; choose it as the chunking_strategy of a vector store"
        raise ConfigError("user_config.chunker", problem)


def _log_reading(parsed: ParsedFile) -> None:
    """Say what the parser left out on purpose and what it is not sure of, without any of the text."""
    if parsed.omissions:
        omissions = ", ".join(f"{count} {name}" for name, count in parsed.omissions)
        logger.info("stage parse: left out %s", omissions)
    if parsed.doubt:
        logger.warning("stage parse: %s", parsed.doubt)


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
        self,
        content: bytes,
        filename: str,
        chunking: ChunkingOptions | None,
        context: RequestContext,
        options: IngestOptions = PLAIN,
    ) -> ParsedFile:
        if len(content) <= MAX_SHARED_BYTES and not _is_image(content):
            parsed: ParsedFile | None = await self.shared_call(
                "parse_batch", ParseCall(content, filename, chunking, options), context
            )
            if parsed is not None:
                return parsed
        return await self.call("parse", content, filename, chunking, Envelope.of(context), options, context=context)
