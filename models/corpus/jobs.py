"""Ingestion jobs: workers claim files, and complete or fail them.

A job exists exactly as long as its file is in_progress. Completing or failing the file deletes the job in the same
transaction, so a file's chunks are written only once, even if several workers try.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, select, update

from models.corpus.chunks import (
    VectorRows,
    build_chunk_rows,
    insert_chunks,
    insert_vectors,
    is_attachment,
    remove_chunks,
)
from models.corpus.database import Database, insert_if_new, is_storable
from models.corpus.generations import settle_generations
from models.corpus.job_queue import is_free, is_waiting, lock_next
from models.corpus.records import AttachmentId, Job
from models.corpus.schema import file_texts, files, jobs, store_files
from models.corpus.store_files import lock_file, to_chunking
from models.corpus.turns import Lane
from models.corpus.vector_stores import advance
from models.errors import ConflictError, InvalidRequestError, NotFoundError
from models.types import Chunk, FloatArray

MAX_ATTEMPTS = 5  # limits how many workers a harmful file can kill
NO_CODES: Mapping[str, Sequence[bytes]] = {}


@dataclass(frozen=True)
class Jobs:
    """Leases jobs to workers. If a worker dies, another one can claim its job when the lease expires.

    `owner` names one worker process. No other process may use the name, not even a restarted worker.
    """

    database: Database
    clock: Callable[[], float]

    def claim(self, owner: str, limit: int, lease_s: float, lane: Lane | None = None) -> list[Job]:
        """Claim up to `limit` unleased jobs, in turn (job_queue.py). A job whose lease expired five times is failed.

        `lane` has the sizes of the files, and remembers whose turn it is. None takes all sizes and remembers nothing.
        """
        now, lane = self.clock(), lane or Lane()
        with self.database.reading() as connection:
            # Idle workers poll often. This check saves them the write lock.
            if connection.scalar(select(jobs.c.job_id).where(is_waiting(lane, now)).limit(1)) is None:
                return []
        with self.database.writing() as connection:
            _fail_exhausted(connection, now)
            rows = lock_next(connection, lane, owner, now, limit)
            return [_assign(connection, row, owner, now + lease_s) for row in rows]

    def renew(self, owner: str, lease_s: float) -> frozenset[int]:
        """Extend the owner's leases to `lease_s` from now. Return the ids of the jobs that it still has."""
        with self.database.writing() as connection:
            statement = update(jobs).where(jobs.c.lease_owner == owner)
            values = {"lease_expires_at": self.clock() + lease_s}
            return frozenset(connection.scalars(statement.values(values).returning(jobs.c.job_id)))

    def release(self, job: Job, delay_s: float = 0.0, counts: bool = False) -> None:
        """Return the job to the queue, to be claimed after `delay_s`. A lost lease is ignored.

        Set `counts` to count the attempt if the file may be the cause, for example when it killed a replica.
        """
        with self.database.writing() as connection:
            statement = update(jobs).where(_is_owned(job))
            values = {
                "lease_owner": None,
                "lease_expires_at": self.clock() + delay_s if delay_s else 0.0,
                "attempts": jobs.c.attempts - (0 if counts else 1),
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

        `vectors` maps each generation to vectors (len(chunks), dim) float32, and `token_codes` some of them to the
        encoded token vectors of each chunk. Raises MissingVectorsError if a required generation is missing, and
        ConflictError if the file was detached or replaced, or the job was lost. Then nothing is stored.
        """
        _check_content(text, len(chunks), vectors)
        _check_token_codes(len(chunks), token_codes)
        attachment = job.attachment
        rows = build_chunk_rows(attachment, job.version, chunks)
        num_bytes = sum(len(chunk.indexed_text.encode()) for chunk in chunks)
        with self.database.writing() as connection:
            seq = self._lock(connection, job)
            generations = settle_generations(connection, job.tenant, job.vector_store_id, list(vectors))
            file_key = _store_file_key(connection, attachment)
            remove_chunks(connection, attachment, seq)
            keys = insert_chunks(connection, rows, file_key, seq)
            for generation in generations:
                matrix, codes = vectors[generation], token_codes.get(generation, ())
                num_bytes += matrix.nbytes + sum(map(len, codes))
                file_keys = [file_key] * len(keys)
                batch = VectorRows(job.tenant, job.vector_store_id, generation, keys, file_keys, matrix, codes)
                insert_vectors(connection, batch, seq)
            result: dict[str, str | int] = {"status": "completed", "usage_bytes": num_bytes, "version": job.version}
            _finish(connection, attachment, result)
            _store_text(connection, job, text)

    def fail(self, job: Job, code: str, message: str) -> None:
        """Fail the file. `code` is OpenAI's: server_error, unsupported_file or invalid_file. Raises ConflictError."""
        with self.database.writing() as connection:
            self._lock(connection, job)
            _finish(connection, job.attachment, _failure(code, message))

    def _lock(self, connection: Connection, job: Job) -> int:
        """Lock file, store and job in that order. Return the change's sequence number."""
        try:
            lock_file(connection, job.tenant, job.file_id)
            _check_version(connection, job)
            seq = advance(connection, job.tenant, job.vector_store_id, int(self.clock()))
        except NotFoundError as error:
            raise ConflictError(f"job {job.job_id} is no longer valid: {error}") from None
        if connection.scalar(select(jobs.c.job_id).where(_is_owned(job)).with_for_update()) is None:
            raise ConflictError(
                f"job {job.job_id} is no longer valid: {job.owner} lost the lease of attempt {job.attempt}"
            )
        return seq


def _is_owned(job: Job) -> ColumnElement[bool]:
    """Whether the lease is the job's. An expired lease counts until another worker claims the job."""
    return and_(jobs.c.job_id == job.job_id, jobs.c.lease_owner == job.owner, jobs.c.attempts == job.attempt)


def _assign(connection: Connection, row: Row[Any], owner: str, lease_expires_at: float) -> Job:
    attempt = row.attempts + 1
    values = {"lease_owner": owner, "lease_expires_at": lease_expires_at, "attempts": attempt}
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
    )


def _fail_exhausted(connection: Connection, now: float) -> None:
    query = select(jobs).where(is_free(now), jobs.c.attempts >= MAX_ATTEMPTS)
    for row in connection.execute(query.with_for_update(skip_locked=True)).all():
        attachment = AttachmentId(row.tenant, row.vector_store_id, row.file_id)
        _finish(connection, attachment, _failure("server_error", f"the ingestion worker died {row.attempts} times"))


def _failure(code: str, message: str) -> dict[str, str | int]:
    return {"status": "failed", "last_error_code": code, "last_error_message": message}


def _finish(connection: Connection, attachment: AttachmentId, values: dict[str, str | int]) -> None:
    connection.execute(delete(jobs).where(is_attachment(jobs, attachment)))
    connection.execute(update(store_files).where(is_attachment(store_files, attachment)).values(values))


def _check_content(text: str, num_chunks: int, vectors: Mapping[str, FloatArray]) -> None:
    for generation, matrix in vectors.items():
        if matrix.dtype != np.float32 or matrix.ndim != 2 or len(matrix) != num_chunks:
            expected = f"({num_chunks}, dim) float32"
            problem = f"vectors of {generation} are {matrix.shape} {matrix.dtype}; they must be {expected}"
            raise InvalidRequestError(problem, "vectors")
    if not is_storable(text):
        raise InvalidRequestError("the text has NUL characters or lone surrogates; remove them", "text")


def _check_token_codes(num_chunks: int, token_codes: Mapping[str, Sequence[bytes]]) -> None:
    for generation, codes in token_codes.items():
        if len(codes) != num_chunks:
            problem = f"token_codes of {generation} has {len(codes)} items for {num_chunks} chunks; give one for each"
            raise InvalidRequestError(problem, "token_codes")


def _check_version(connection: Connection, job: Job) -> None:
    query = select(files.c.version).where(files.c.tenant == job.tenant, files.c.file_id == job.file_id)
    version = connection.scalar(query)
    if version != job.version:
        raise ConflictError(
            f"job {job.job_id} is no longer valid: it is for version {job.version}, the file has {version}"
        )


def _store_file_key(connection: Connection, attachment: AttachmentId) -> int:
    query = select(store_files.c.store_file_key).where(is_attachment(store_files, attachment))
    return connection.execute(query).scalar_one()


def _store_text(connection: Connection, job: Job, text: str) -> None:
    """Store the text, also over an older text of this version: a newer parser may read the file better.

    Delete the texts of versions that no store searches any more.
    """
    columns, versions = file_texts.c, store_files.c
    is_same_file = and_(columns.tenant == job.tenant, columns.file_id == job.file_id)
    key: dict[str, str | int] = {"tenant": job.tenant, "file_id": job.file_id, "version": job.version}
    if not insert_if_new(connection, file_texts, key | {"text": text}):
        is_same = and_(is_same_file, columns.version == job.version, columns.text != text)
        connection.execute(update(file_texts).where(is_same).values(text=text))
    is_searched = and_(versions.tenant == job.tenant, versions.file_id == job.file_id, versions.version > 0)
    oldest = select(func.min(versions.version)).where(is_searched).scalar_subquery()
    connection.execute(delete(file_texts).where(is_same_file, columns.version < oldest))
