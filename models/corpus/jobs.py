"""Ingestion jobs: workers claim files, and complete or fail them.

A job exists exactly as long as its file is in_progress. Completing or failing the file deletes the job in the same
transaction, so a file's chunks are written only once, even if several workers try.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, func, select, update

from models.corpus.chunks import is_attachment
from models.corpus.completion import Completion, Prepared, finish, prepare
from models.corpus.database import Database
from models.corpus.failures import FailureReason
from models.corpus.job_queue import is_free, is_waiting, lock_next
from models.corpus.leases import CLOCK_TOLERANCE
from models.corpus.outbox import record_events
from models.corpus.records import AttachmentId, Job
from models.corpus.schema import files, jobs, store_files
from models.corpus.store_changes import to_options
from models.corpus.store_files import lock_file, to_chunking
from models.corpus.turns import Lane
from models.corpus.vector_stores import advance
from models.errors.base import RagError
from models.errors.requests import ConflictError, InvalidRequestError, NotFoundError
from models.types.arrays import FloatArray
from models.types.chunks import Chunk

NO_CODES: Mapping[str, Sequence[bytes]] = {}
DAY_S = 86_400.0
MAX_ATTEMPTS = 5  # limits how many workers a harmful file can kill


@dataclass(frozen=True)
class Jobs:
    """Leases jobs to workers. If a worker dies, another one can claim its job when the lease expires.

    `owner` names one worker process. No other process may use the name, not even a restarted worker.
    """

    database: Database
    clock: Callable[[], float]

    def claim(
        self, owner: str, limit: int, lease_s: float, lane: Lane | None = None, max_pause_s: float = DAY_S
    ) -> list[Job]:
        """Claim up to `limit` unleased jobs, in turn (job_queue.py). A job whose lease expired five times is failed.

        `lane` has the sizes of the files, and remembers whose turn it is. None takes all sizes and remembers nothing.
        No caller of `release` gives a longer delay than `max_pause_s`: a later end is of a clock that was wrong.
        """
        now, lane, longest_s = self.clock(), lane or Lane(), max(max_pause_s, CLOCK_TOLERANCE * lease_s)
        is_next = is_waiting(lane, now, longest_s)
        with self.database.reading() as connection:
            # Idle workers poll often. This check saves them the write lock.
            if connection.scalar(select(jobs.c.job_id).where(is_next).limit(1)) is None:
                return []
        with self.database.writing() as connection:
            _fail_exhausted(connection, now, longest_s)
            rows = lock_next(connection, lane, owner, is_next, limit)
            return [_assign(connection, row, owner, now + lease_s) for row in rows]

    def renew(self, owner: str, lease_s: float) -> frozenset[int]:
        """Extend the owner's leases to `lease_s` from now. Return the ids of the jobs that it still has."""
        with self.database.writing() as connection:
            statement = update(jobs).where(jobs.c.lease_owner == owner)
            values = {"lease_expires_at": self.clock() + lease_s}
            return frozenset(connection.scalars(statement.values(values).returning(jobs.c.job_id)))

    def backlog(self) -> tuple[int, float]:
        """The jobs of all tenants, leased ones too: how many, and the seconds since the oldest was due."""
        due_at = func.min(func.nullif(jobs.c.due_at, 0))  # jobs of earlier releases have no time
        with self.database.reading() as connection:
            num_jobs, oldest = connection.execute(select(func.count(), due_at).select_from(jobs)).one()
        return num_jobs, max(0.0, self.clock() - (oldest or self.clock()))

    def owned(self, owner: str) -> frozenset[int]:
        """Return the ids of the jobs that the owner has. One whose file was deleted is not among them."""
        with self.database.reading() as connection:
            return frozenset(connection.scalars(select(jobs.c.job_id).where(jobs.c.lease_owner == owner)))

    def report(self, owner: str, num_chunks: Mapping[int, tuple[int, int]]) -> None:
        """Store the progress of the owner's jobs: (embedded chunks, all chunks) by job id."""
        is_owned = and_(jobs.c.job_id == bindparam("id"), jobs.c.lease_owner == owner)
        values: dict[str, Any] = {"num_embedded": bindparam("embedded"), "num_chunks": bindparam("total")}
        rows = [{"id": key, "embedded": embedded, "total": total} for key, (embedded, total) in num_chunks.items()]
        with self.database.writing() as connection:
            connection.execute(update(jobs).where(is_owned).values(values), rows)

    def release(self, job: Job, delay_s: float = 0.0, counts: bool = False, reason: str | None = None) -> None:
        """Return the job to the queue, to be claimed after `delay_s`. A lost lease is ignored.

        Set `counts` to count the attempt if the file may be the cause, for example when it killed a replica. Set
        `reason`, an error's code, if the attempt failed.
        """
        with self.database.writing() as connection:
            statement = update(jobs).where(_is_owned(job))
            values: dict[str, Any] = {
                "lease_owner": None,
                "lease_expires_at": self.clock() + delay_s if delay_s else 0.0,
                "attempts": jobs.c.attempts - (0 if counts else 1),
                "num_retries": jobs.c.num_retries + (0 if reason is None else 1),
                "last_reason": reason or jobs.c.last_reason,
                "num_chunks": None,
                "num_embedded": 0,
            }
            connection.execute(statement.values(values))

    def complete(
        self,
        job: Job,
        text: str,
        chunks: Sequence[Chunk],
        vectors: Mapping[str, FloatArray],
        token_codes: Mapping[str, Sequence[bytes]] = NO_CODES,
    ) -> None:
        """Store the file's text, chunks and status in one transaction. They replace those of the version before.

        The arguments are those of Completion. Raises MissingVectorsError if a required generation is missing, and
        ConflictError if the file was detached or replaced, or the job was lost. Then nothing is stored.
        """
        (error,) = self.complete_all([Completion(job, text, chunks, vectors, token_codes)])
        if error is not None:
            raise error

    def complete_all(self, completions: Sequence[Completion]) -> list[RagError | None]:
        """Complete several files in one transaction, which costs one commit. Return the error of each, None for none.

        Each file is stored whole or not at all, with the errors of `complete`: one of them does not stop the others.
        If this raises, none is stored.
        """
        errors: dict[int, RagError] = {}
        prepared: dict[int, Prepared] = {}
        for number, completion in enumerate(completions):  # before any lock is taken
            try:
                prepared[number] = prepare(completion)
            except InvalidRequestError as error:
                errors[number] = error
        with self.database.writing() as connection:
            errors |= self._store(connection, prepared)
        return [errors.get(number) for number in range(len(completions))]

    def _store(self, connection: Connection, prepared: Mapping[int, Prepared]) -> dict[int, RagError]:
        """Store the files, and return the errors. Writers lock in this order: file, store, job, store file."""
        errors: dict[int, RagError] = {}
        by_store: dict[tuple[str, str], list[int]] = {}
        # Sorted, so that two transactions with common files or stores do not wait for each other.
        for number, file in sorted(prepared.items(), key=lambda item: (item[1].job.tenant, item[1].job.file_id)):
            job = file.job
            try:
                lock_file(connection, job.tenant, job.file_id)
            except NotFoundError as error:
                errors[number] = _invalid(job, error)
            else:
                by_store.setdefault((job.tenant, job.vector_store_id), []).append(number)
        for store, numbers in sorted(by_store.items()):
            errors |= self._store_in(connection, store, {number: prepared[number] for number in numbers})
        return errors

    def _store_in(
        self, connection: Connection, store: tuple[str, str], prepared: Mapping[int, Prepared]
    ) -> dict[int, RagError]:
        """Store the files of one vector store as one change of its log, or no change if none can be stored."""
        errors: dict[int, RagError] = {}
        change = connection.begin_nested()
        try:
            seq = advance(connection, *store, int(self.clock()))
        except NotFoundError as error:
            change.rollback()
            return {number: _invalid(file.job, error) for number, file in prepared.items()}
        for number, file in sorted(prepared.items(), key=lambda item: item[1].job.job_id):
            try:
                _lock_job(connection, file.job)
                file.store(connection, seq)
                is_file = is_attachment(store_files, file.job.attachment)
                record_events(connection, "document.indexed", is_file, self.clock())
            except ConflictError as error:
                errors[number] = error  # raised before the file's first write
        if len(errors) == len(prepared):
            change.rollback()
        else:
            change.commit()
        return errors

    def fail(self, job: Job, code: str, message: str, reason: FailureReason = "internal_error") -> None:
        """Fail the file. `code` is OpenAI's: server_error, unsupported_file or invalid_file. Raises ConflictError."""
        failure = _Failure(code, message, reason, job.attempt)
        with self.database.writing() as connection:
            self._lock(connection, job)
            failure.store(connection, job.attachment, self.clock())

    def _lock(self, connection: Connection, job: Job) -> None:
        """Lock file, store and job in that order. Raises ConflictError."""
        try:
            lock_file(connection, job.tenant, job.file_id)
            advance(connection, job.tenant, job.vector_store_id, int(self.clock()))
        except NotFoundError as error:
            raise _invalid(job, error) from None
        _lock_job(connection, job)


def _invalid(job: Job, reason: object) -> ConflictError:
    return ConflictError(f"job {job.job_id} is no longer valid: {reason}")


def _lock_job(connection: Connection, job: Job) -> None:
    """Raises ConflictError if the job is of an older version of the file, or its lease is lost."""
    is_file = and_(files.c.tenant == job.tenant, files.c.file_id == job.file_id)
    version = connection.scalar(select(files.c.version).where(is_file))
    if version != job.version:
        raise _invalid(job, f"it is for version {job.version}, the file has {version}")
    if connection.scalar(select(jobs.c.job_id).where(_is_owned(job)).with_for_update()) is None:
        raise _invalid(job, f"{job.owner} lost the lease of attempt {job.attempt}")


def _is_owned(job: Job) -> ColumnElement[bool]:
    """Whether the lease is the job's. An expired lease counts until another worker claims the job."""
    return and_(jobs.c.job_id == job.job_id, jobs.c.lease_owner == job.owner, jobs.c.attempts == job.attempt)


def _assign(connection: Connection, row: Row[Any], owner: str, lease_expires_at: float) -> Job:
    attempt = row.attempts + 1
    values = {"lease_owner": owner, "lease_expires_at": lease_expires_at, "attempts": attempt}
    values |= {"num_chunks": None, "num_embedded": 0}  # of a worker that died
    connection.execute(update(jobs).where(jobs.c.job_id == row.job_id).values(values))
    return Job(
        job_id=row.job_id,
        owner=owner,
        attempt=attempt,
        tenant=row.tenant,
        vector_store_id=row.vector_store_id,
        file_id=row.file_id,
        filename=row.filename,
        chunking=to_chunking(row),
        version=row.version,
        size_bytes=row.size_bytes,
        num_retries=row.num_retries,
        last_reason=row.last_reason,
        options=to_options(row),
    )


def _fail_exhausted(connection: Connection, now: float, longest_s: float) -> None:
    query = select(jobs).where(is_free(now, longest_s), jobs.c.attempts >= MAX_ATTEMPTS)
    for row in connection.execute(query.with_for_update(skip_locked=True)).all():
        attachment = AttachmentId(row.tenant, row.vector_store_id, row.file_id)
        message = f"the ingestion worker died {row.attempts} times"
        _Failure("server_error", message, "worker_died", row.attempts).store(connection, attachment, now)


@dataclass(frozen=True)
class _Failure:
    """Why a file fails for good, after `num_attempts`."""

    code: str
    message: str
    reason: FailureReason
    num_attempts: int

    def store(self, connection: Connection, attachment: AttachmentId, now: float) -> None:
        """Delete the job, and fail the file."""
        error = {"last_error_code": self.code, "last_error_message": self.message, "failure_reason": self.reason}
        times = {"failed_at": int(now), "failed_attempts": self.num_attempts}
        finish(connection, attachment, {"status": "failed", **error, **times})
        record_events(connection, "document.failed", is_attachment(store_files, attachment), now)
