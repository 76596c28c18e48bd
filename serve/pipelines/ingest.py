"""The ingest path: a stored file in, searchable chunks out. `IngestPipeline.ingest` is the path; read it first."""

from functools import partial

from pydantic import BaseModel, ConfigDict, Field

from models.corpus.completion import Completion
from models.corpus.corpus import Corpus
from models.corpus.parse_report import ParseReport
from models.corpus.records import Job
from models.deadline import Deadline
from models.documents.chunkers.base import ChunkingOptions
from models.errors.requests import MissingVectorsError
from models.errors.stages import DeadlineExceededError, StageDownError
from models.types.chunks import ParsedFile
from models.types.request_context import BACKGROUND_PRIORITY, RequestContext
from models.types.stage_results import Embeddings
from serve.pipelines.blob_threads import in_blob_thread
from serve.pipelines.completions import Completions
from serve.pipelines.embedding_pages import EmbeddingPages, Space
from serve.pipelines.ingest_memory import IngestMemory
from serve.pipelines.ingest_progress import IngestProgress
from serve.pipelines.stages import EmbedStage, ParseStage
from serve.pipelines.suspects import Suspects, check_up

MB = 1_000_000


class IngestLimits(BaseModel):
    """How much one ingress replica ingests at once, and how long it tries. May change while it works."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrency: int = Field(
        default=8,
        ge=1,
        le=64,
        description="Large files that one ingress replica ingests at once; and eight times as many files up to 64 KiB.",
    )
    file_budget_s: float = Field(
        default=600.0, gt=0, le=86_400, description="Time for parsing a file and for a page of its chunks, in seconds."
    )
    poll_s: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="Seconds between two checks for jobs that another replica created or lost.",
    )
    retry_s: float = Field(
        default=2.0,
        gt=0,
        le=600,
        description="Pause after a stage was overloaded or unavailable, in seconds; it doubles with each failure.",
    )
    max_retry_s: float = Field(
        default=60.0, gt=0, le=86_400, description="Longest pause between two attempts of a file, in seconds."
    )
    memory_mb: int = Field(
        default=512,
        ge=64,
        le=2**20,
        description="Memory for the vectors of the files of over 256 chunks that one ingress replica ingests at once, "
        "in MB; a larger file has it alone.",
    )
    token_vectors: bool = Field(
        default=True,
        description="Store the token vectors of chunks: late interaction then needs no forward pass over candidates; "
        "docs/models.md says how many bytes they take.",
    )


class IngestConfig(IngestLimits):
    """The limits, and the lease of a job, which stays the same as long as the worker lives."""

    lease_s: float = Field(
        default=30.0, ge=5, le=3600, description="Another worker may claim a job that was not renewed within this time."
    )


class IngestPipeline:
    """parse and chunk -> embed -> store, all or nothing. Files under way at once share forward passes and commits."""

    def __init__(self, parser: ParseStage, embedder: EmbedStage, corpus: Corpus, limits: IngestLimits) -> None:
        self._parser, self._embedder, self._corpus, self._limits = parser, embedder, corpus, limits
        self.progress = IngestProgress()
        self._suspects = Suspects()
        self._pages = EmbeddingPages(embedder, self._suspects)
        self._completions = Completions(corpus.jobs)
        self._memory = IngestMemory(limits.memory_mb * MB)

    def configure(self, limits: IngestLimits) -> None:
        """Takes effect with the next file."""
        self._limits = limits
        self._memory.resize(limits.memory_mb * MB)

    async def ingest(self, job: Job) -> int:
        """Make the job's file searchable, and return its number of chunks. Raises the errors of the stages.

        StageDownError if a stage did not answer at all, which is not the file's fault.
        """
        content, generations = await in_blob_thread(self._read, job)
        parsed = await self._parse(job, content)
        spaces = generations or (None,)
        self.progress.begin(job.job_id, len(parsed.chunks), len(spaces))
        try:
            async with self._memory.of(len(parsed.chunks), self._limits.token_vectors):
                await self._embed_and_store(job, parsed, spaces)
        finally:
            self.progress.end(job.job_id)
        return len(parsed.chunks)

    def _read(self, job: Job) -> tuple[bytes, tuple[str, ...]]:
        """The file's content, and the generations that its chunks need."""
        content = self._corpus.files.content(job.tenant, job.file_id)
        return content, self._corpus.generations.required(job.tenant, job.vector_store_id)

    def _context(self, job: Job) -> RequestContext:
        """The context of the job's next step, with all the time of one."""
        deadline = Deadline.after(self._limits.file_budget_s)
        return RequestContext(request_id_of(job), job.tenant, deadline, BACKGROUND_PRIORITY)

    async def _parse(self, job: Job, content: bytes) -> ParsedFile:
        chunking = None if job.chunking is None else ChunkingOptions(**job.chunking.to_json())
        try:
            return await self._suspects.call(
                lambda: self._parser.parse(content, job.filename, chunking, self._context(job), job.options),
                self._parser,
                _is_suspect(job),
            )
        except DeadlineExceededError:
            await check_up(self._parser)
            raise

    async def _embed_and_store(self, job: Job, parsed: ParsedFile, generations: tuple[str | None, ...]) -> None:
        embedded = await self._embed(job, parsed, generations)
        try:
            await self._completions.store(_completion(job, parsed, embedded))
        except MissingVectorsError as error:
            # Since `generations` were read, the vector store has begun or finished another generation.
            embedded += await self._embed(job, parsed, error.generations)
            await self._completions.store(_completion(job, parsed, embedded))

    async def _embed(self, job: Job, parsed: ParsedFile, generations: tuple[str | None, ...]) -> list[Embeddings]:
        """The chunks in each generation. None means the configured model's generation."""
        texts = [chunk.indexed_text for chunk in parsed.chunks]
        spaces = [Space(name, self._limits.token_vectors) for name in generations]
        on_page = partial(self.progress.add, job.job_id)
        try:
            return [
                await self._pages.embed(texts, self._context(job), space, _is_suspect(job), on_page) for space in spaces
            ]
        except DeadlineExceededError:
            await check_up(self._embedder)
            raise


def request_id_of(job: Job) -> str:
    """The id under which the stages know a job, such as job-7."""
    return f"job-{job.job_id}"


def _is_suspect(job: Job) -> bool:
    """Whether an earlier attempt failed, or killed its worker, or perhaps the stage that was down afterwards."""
    return job.attempt > 1 or job.last_reason == StageDownError.code


def _completion(job: Job, parsed: ParsedFile, embedded: list[Embeddings]) -> Completion:
    vectors = {item.generation: item.vectors for item in embedded}
    codes = {item.generation: item.token_codes for item in embedded if item.token_codes}
    report = ParseReport.of(parsed)
    return Completion(job, parsed.text, parsed.chunks, vectors, codes, report, parsed.derived, parsed.sketch)
