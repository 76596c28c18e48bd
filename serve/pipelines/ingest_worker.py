"""The worker of an ingress replica: claims files in turn, and runs as many at once as its lanes have places."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from deployments.telemetry.metrics.ingestion import (
    INGESTED_CHUNKS,
    INGESTED_FILES,
    INGESTION_OLDEST_SECONDS,
    INGESTION_RETRIES,
    INGESTIONS_RUNNING,
)
from models.corpus.corpus import Corpus
from models.corpus.failures import UNKNOWN_REASON, is_failure_reason
from models.corpus.jobs import MAX_ATTEMPTS
from models.corpus.records import Job
from models.corpus.turns import Lane
from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.requests import ConflictError, InvalidRequestError, NotFoundError, UnreadableDocumentError
from models.errors.stages import InternalError, StageDownError, StageUnavailableError
from models.errors.storage import STORAGE_ERRORS, StorageFullError
from serve.pipelines.backoff import backoff_s
from serve.pipelines.ingest import IngestConfig, IngestLimits, IngestPipeline, request_id_of
from serve.pipelines.wakeup import Wakeup

logger = logging.getLogger(__name__)

SMALL_FILES_PER_PLACE = 8  # small files share forward passes, and need little memory
MAX_TENANT_SHARE = 0.75
CLAIM_SHARE = 8  # after files have ended, the next claim waits until this fraction of the places is free


@dataclass
class Places:
    """The places for small or for large files, and the jobs that have them."""

    lane: Lane
    files_per_place: int
    job_ids: set[int] = field(default_factory=set)

    def num_free(self, concurrency: int) -> int:
        """Below 0 after the concurrency was lowered."""
        return self.files_per_place * concurrency - len(self.job_ids)

    def is_claim_due(self, concurrency: int) -> bool:
        """Whether so many places are free that a claim, a transaction of its own, pays off."""
        return self.num_free(concurrency) * CLAIM_SHARE >= self.files_per_place * concurrency


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
        self._places = (
            Places(Lane(is_large=False, max_tenant_share=MAX_TENANT_SHARE), SMALL_FILES_PER_PLACE),
            Places(Lane(is_large=True, max_tenant_share=MAX_TENANT_SHARE), 1),
        )
        self._running: dict[int, asyncio.Task[None]] = {}
        self._started_at: dict[int, float] = {}
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
        loops = [asyncio.create_task(self._renew_leases()), asyncio.create_task(self._watch())]
        try:
            while self._is_running and not any(loop.done() for loop in loops):
                await self._claim()
                await self._wakeup.wait(self._limits.poll_s)
        finally:
            self._is_running = False
            tasks = [*loops, *self._running.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def check_health(self) -> None:
        """Raises StageUnavailableError if this worker has stopped."""
        if not self._is_running:
            raise StageUnavailableError("ingest")

    async def _claim(self) -> None:
        for places in self._places:
            free = places.num_free(self._limits.concurrency)
            if free <= 0:
                continue
            try:
                jobs = await asyncio.to_thread(
                    self._corpus.jobs.claim, self._owner, free, self._lease_s, places.lane, self._limits.max_retry_s
                )
            except STORAGE_ERRORS as error:
                logger.warning("no job was claimed: %s", error)
                return
            self._start(jobs, places)

    def _start(self, jobs: Iterable[Job], places: Places) -> None:
        for job in jobs:
            task = asyncio.create_task(self._run_job(job))
            self._running[job.job_id] = task
            self._started_at[job.job_id] = time.monotonic()
            places.job_ids.add(job.job_id)
            task.add_done_callback(partial(self._job_ended, job.job_id, places))
        INGESTIONS_RUNNING.set(len(self._running))

    def _job_ended(self, job_id: int, places: Places, task: asyncio.Task[None]) -> None:
        self._running.pop(job_id, None)
        self._started_at.pop(job_id, None)
        places.job_ids.discard(job_id)
        if not task.cancelled() and (error := task.exception()):
            # Not even its failure could be stored: this worker stops, and Serve replaces its unhealthy replica.
            logger.error("job %d ended unexpectedly, so its worker stops", job_id, exc_info=error)
            self._is_running = False
        INGESTIONS_RUNNING.set(len(self._running))
        if not self._is_running or places.is_claim_due(self._limits.concurrency):
            self.wake()

    async def _run_job(self, job: Job) -> None:
        """Completes the job, fails it, or releases it for another attempt."""
        try:
            num_chunks = await self._pipeline.ingest(job)
            INGESTED_FILES.labels("completed").inc()
            INGESTED_CHUNKS.inc(num_chunks)
            logger.info("job %d is completed: %d chunks", job.job_id, num_chunks, extra=_log_fields(job))
        except UnreadableDocumentError as error:
            await self._fail(job, error.reason, error.detail, error.cause)
        except InvalidRequestError as error:
            await self._fail(job, "invalid_file", str(error), "invalid_file")
        except (ConflictError, NotFoundError):
            reason = "its file was detached, or another worker has it"
            logger.info("job %d is dropped: %s", job.job_id, reason, extra=_log_fields(job))
        except RagError as error:
            await self._retry(job, error)
        except Exception as error:  # a bug must not end this worker, and with it the questions under way
            logger.error("job %d failed unexpectedly", job.job_id, exc_info=error, extra=_log_fields(job))
            await self._retry(job, InternalError("ingest"))
        except asyncio.CancelledError:
            with contextlib.suppress(*STORAGE_ERRORS):  # the lease ends by itself
                await asyncio.shield(asyncio.to_thread(self._corpus.jobs.release, job, 0.0))
            raise

    async def _retry(self, job: Job, error: RagError) -> None:
        """Releases the job after a failure that may pass, or fails it after its last attempt.

        A full queue, or a stage that is down, is not the file's fault: such a job is tried again without limit. A file
        that breaks a stage by itself must not be tried for ever.
        """
        is_attempt = not isinstance(error, OverloadedError | StageDownError | StorageFullError)
        if is_attempt and job.attempt >= MAX_ATTEMPTS:
            await self._fail(job, "server_error", f"{error} (after {job.attempt} attempts)", error.code)
            return
        pause_s = backoff_s(self._limits.retry_s, job.num_retries + 1, self._limits.max_retry_s)
        logger.warning("job %d is tried again in %.3g s: %s", job.job_id, pause_s, error, extra=_log_fields(job))
        INGESTION_RETRIES.labels(error.code).inc()
        await self._store(partial(self._corpus.jobs.release, job, pause_s, is_attempt, error.code))

    async def _fail(self, job: Job, code: str, message: str, cause: str) -> None:
        reason = cause if is_failure_reason(cause) else UNKNOWN_REASON
        INGESTED_FILES.labels("failed").inc()
        level = logging.WARNING if code == "server_error" else logging.INFO  # a damaged file is no fault of the service
        logger.log(level, "job %d failed for good: %s", job.job_id, reason, extra=_log_fields(job))
        with contextlib.suppress(ConflictError):
            await self._store(partial(self._corpus.jobs.fail, job, code, message, reason))

    async def _store(self, write: Callable[[], object]) -> None:
        """Write as soon as the storage takes it. Otherwise the lease would end, and cost the file an attempt."""
        while True:
            try:
                await asyncio.to_thread(write)
                return
            except STORAGE_ERRORS as error:
                logger.warning("the end of an attempt is stored later: %s", error)
                await asyncio.sleep(self._limits.retry_s)

    async def _watch(self) -> None:
        """Stores the progress of the running jobs, and cancels those whose file was deleted, detached or replaced."""
        lost: set[int] = set()
        while True:
            await asyncio.sleep(self._limits.poll_s)
            running, lost_before = set(self._running), lost
            self._observe_ages()
            if not running:
                continue
            try:
                lost = running - await asyncio.to_thread(self._corpus.jobs.owned, self._owner)
                if changes := self._pipeline.progress.take_changes():
                    await asyncio.to_thread(self._corpus.jobs.report, self._owner, changes)
            except STORAGE_ERRORS as error:
                logger.warning("no progress was stored: %s", error)
            # A job that has just ended is missing too. Its task ends before the next look.
            for job_id in lost & lost_before & self._running.keys():
                self._running[job_id].cancel()

    def _observe_ages(self) -> None:
        now, parsing = time.monotonic(), self._pipeline.progress.parsing(self._started_at)
        for state, job_ids in (("parsing", parsing), ("embedding", self._started_at.keys() - parsing)):
            oldest_s = max((now - self._started_at[job_id] for job_id in job_ids), default=0.0)
            INGESTION_OLDEST_SECONDS.labels(state).set(oldest_s)

    async def _renew_leases(self) -> None:
        """Renews the leases of the running jobs. A job that another worker has taken is cancelled here."""
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                renewed_ids = await asyncio.to_thread(self._corpus.jobs.renew, self._owner, self._lease_s)
            except STORAGE_ERRORS as error:
                logger.warning("no lease was renewed: %s", error)
                continue
            for job_id in set(self._running) - renewed_ids:
                self._running[job_id].cancel()


def _log_fields(job: Job) -> dict[str, str]:
    """The ids of a log line: those that the stages have in their lines of the job, and the file."""
    return {"request_id": request_id_of(job), "tenant": job.tenant, "file_id": job.file_id}
