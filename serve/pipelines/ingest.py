"""The ingest path: a stored file in, searchable chunks out. `IngestPipeline.ingest` is the path; read it first."""

import asyncio
import contextlib
import logging
import uuid
from functools import partial

from pydantic import BaseModel, ConfigDict, Field

from deployments.telemetry import metrics
from models.corpus.corpus import Corpus
from models.corpus.records import Job
from models.documents.chunkers.base import ChunkingOptions
from models.errors import (
    ConflictError,
    InvalidRequestError,
    MissingVectorsError,
    NotFoundError,
    OverloadedError,
    RagError,
    StageUnavailableError,
    UnreadableDocumentError,
)
from models.types import BACKGROUND_PRIORITY, Deadline, Embeddings, ParsedFile, RequestContext
from serve.pipelines.stages import EmbedStage, ParseStage
from serve.pipelines.wakeup import Wakeup

logger = logging.getLogger(__name__)


class IngestLimits(BaseModel):
    """How much one ingress replica ingests at once, and how long it tries. May change while it works."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrency: int = Field(default=8, ge=1, le=64, description="Files that one ingress replica ingests at once.")
    file_budget_s: float = Field(default=600.0, gt=0, le=86_400, description="Time for one file, in seconds.")
    poll_s: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="Seconds between two checks for jobs that another replica created or lost.",
    )
    retry_s: float = Field(
        default=2.0, gt=0, le=600, description="Pause after a stage was overloaded or unavailable, in seconds."
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
    """parse and chunk -> embed -> store, all or nothing."""

    def __init__(self, parser: ParseStage, embedder: EmbedStage, corpus: Corpus, limits: IngestLimits) -> None:
        self._parser, self._embedder, self._corpus, self._limits = parser, embedder, corpus, limits

    def configure(self, limits: IngestLimits) -> None:
        """Takes effect with the next file."""
        self._limits = limits

    async def ingest(self, job: Job) -> int:
        """Make the job's file searchable, and return its number of chunks. Raises the errors of the stages."""
        deadline = Deadline.after(self._limits.file_budget_s)
        context = RequestContext(f"job-{job.job_id}", job.tenant, deadline, BACKGROUND_PRIORITY)
        content = await asyncio.to_thread(self._corpus.files.content, job.tenant, job.file_id)
        chunking = None if job.chunking is None else ChunkingOptions(**vars(job.chunking))
        parsed = await self._parser.parse(content, job.filename, chunking, context)
        generations = await asyncio.to_thread(self._corpus.generations.required, job.tenant, job.vector_store_id)
        embedded = await self._embed(parsed, generations or (None,), context)
        try:
            await asyncio.to_thread(self._complete, job, parsed, embedded)
        except MissingVectorsError as error:
            # Since `required` was read, the vector store has begun or finished another generation.
            embedded += await self._embed(parsed, error.generations, context)
            await asyncio.to_thread(self._complete, job, parsed, embedded)
        return len(parsed.chunks)

    async def _embed(
        self, parsed: ParsedFile, generations: tuple[str | None, ...], context: RequestContext
    ) -> list[Embeddings]:
        """The chunks in each generation. None means the configured model's generation."""
        texts, with_tokens = [chunk.indexed_text for chunk in parsed.chunks], self._limits.token_vectors
        return [await self._embedder.embed_documents(texts, context, name, with_tokens) for name in generations]

    def _complete(self, job: Job, parsed: ParsedFile, embedded: list[Embeddings]) -> None:
        vectors = {item.generation: item.vectors for item in embedded}
        codes = {item.generation: item.token_codes for item in embedded if item.token_codes}
        self._corpus.jobs.complete(job, parsed.text, parsed.chunks, vectors, codes)


class IngestWorker:
    """Claims jobs from the corpus and runs them. Several workers, in several processes, share the jobs."""

    def __init__(self, pipeline: IngestPipeline, corpus: Corpus, config: IngestConfig) -> None:
        self._pipeline, self._corpus = pipeline, corpus
        self._limits: IngestLimits = config
        # Fixed: renewal sleeps for a third of it, and a lease that becomes shorter could end during that sleep.
        self._lease_s = config.lease_s
        # Leases belong to this name, which no other process ever has.
        self._owner = f"worker-{uuid.uuid4().hex}"
        self._wakeup = Wakeup()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._is_running = True

    def configure(self, limits: IngestLimits) -> None:
        """Takes effect at once for jobs that are not yet claimed. Those under way keep their time."""
        self._limits = limits
        self._pipeline.configure(limits)
        self.wake()

    def wake(self) -> None:
        """Looks for new jobs now, not at the next poll."""
        self._wakeup.set()

    async def run(self) -> None:
        """Runs until cancelled, or until an unexpected error. Then it releases its unfinished jobs."""
        renewal = asyncio.create_task(self._renew_leases())
        try:
            while self._is_running and not renewal.done():
                await self._claim()
                await self._wakeup.wait(self._limits.poll_s)
        finally:
            self._is_running = False
            tasks = [renewal, *self._running.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def check_health(self) -> None:
        """Raises StageUnavailableError if this worker has stopped."""
        if not self._is_running:
            raise StageUnavailableError("ingest")

    async def _claim(self) -> None:
        free = self._limits.concurrency - len(self._running)
        if free <= 0:  # below 0 after the concurrency was lowered
            return
        try:
            jobs = await asyncio.to_thread(self._corpus.jobs.claim, self._owner, free, self._lease_s)
        except OverloadedError as error:
            logger.warning("no job was claimed: %s", error)
            return
        for job in jobs:
            task = asyncio.create_task(self._run_job(job))
            self._running[job.job_id] = task
            task.add_done_callback(partial(self._job_ended, job.job_id))
        metrics.INGESTIONS_RUNNING.set(len(self._running))

    def _job_ended(self, job_id: int, task: asyncio.Task[None]) -> None:
        self._running.pop(job_id, None)
        if not task.cancelled() and (error := task.exception()):
            # A bug or a failed database: this worker stops, and Serve replaces its unhealthy replica.
            logger.error("job %d failed unexpectedly, so its worker stops", job_id, exc_info=error)
            self._is_running = False
        metrics.INGESTIONS_RUNNING.set(len(self._running))
        self.wake()

    async def _run_job(self, job: Job) -> None:
        """Completes the job, fails it, or releases it for another attempt."""
        try:
            num_chunks = await self._pipeline.ingest(job)
            metrics.INGESTED_FILES.labels("completed").inc()
            metrics.INGESTED_CHUNKS.inc(num_chunks)
        except UnreadableDocumentError as error:
            await self._fail(job, error.reason, error.detail)
        except InvalidRequestError as error:
            await self._fail(job, "invalid_file", str(error))
        except (ConflictError, NotFoundError):
            logger.info("job %d is dropped: its file was detached, or another worker has it", job.job_id)
        except RagError as error:
            logger.warning("job %d is tried again in %.3g s: %s", job.job_id, self._limits.retry_s, error)
            # A full queue is not the file's fault. A file that kills its parser must not be tried for ever.
            is_attempt = not isinstance(error, OverloadedError)
            await asyncio.to_thread(self._corpus.jobs.release, job, self._limits.retry_s, is_attempt)
        except asyncio.CancelledError:
            await asyncio.shield(asyncio.to_thread(self._corpus.jobs.release, job, 0.0))
            raise

    async def _fail(self, job: Job, code: str, message: str) -> None:
        metrics.INGESTED_FILES.labels("failed").inc()
        with contextlib.suppress(ConflictError):
            await asyncio.to_thread(self._corpus.jobs.fail, job, code, message)

    async def _renew_leases(self) -> None:
        """Renews the leases of the running jobs. A job that another worker has taken is cancelled here."""
        while True:
            await asyncio.sleep(self._lease_s / 3)
            renewed_ids = await asyncio.to_thread(self._corpus.jobs.renew, self._owner, self._lease_s)
            for job_id in set(self._running) - renewed_ids:
                self._running[job_id].cancel()
