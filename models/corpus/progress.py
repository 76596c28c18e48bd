"""How far the jobs of files have come. Functions run inside a caller's transaction."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, or_, select

from models.corpus.records import BatchProgress, JobProgress, StoreFile
from models.corpus.schema import batch_files, chunks, jobs


def add_progress(
    connection: Connection, tenant: str, vector_store_id: str, records: Sequence[StoreFile], now: float
) -> tuple[StoreFile, ...]:
    """Return the records, those of files in progress with their jobs' progress. They are of one vector store."""
    file_ids = [record.file_id for record in records if record.status == "in_progress"]
    if not file_ids:
        return tuple(records)
    query = select(jobs, _state(now).label("state")).where(
        jobs.c.tenant == tenant, jobs.c.vector_store_id == vector_store_id, jobs.c.file_id.in_(file_ids)
    )
    by_file = {row.file_id: _to_progress(row, now) for row in connection.execute(query)}
    return tuple(replace(record, progress=by_file.get(record.file_id)) for record in records)


def batch_progress(
    connection: Connection, tenant: str, vector_store_id: str, batch_id: str, now: float
) -> BatchProgress:
    """Add up the jobs of a batch."""
    columns, state = batch_files.c, _state(now)
    is_member = and_(*(columns[name] == jobs.c[name] for name in ("tenant", "vector_store_id", "file_id")))
    query = select(state, func.count(), func.sum(jobs.c.num_embedded), func.sum(jobs.c.num_chunks))
    query = query.select_from(jobs.join(batch_files, is_member)).where(
        columns.tenant == tenant, columns.vector_store_id == vector_store_id, columns.batch_id == batch_id
    )
    num_files, num_embedded, num_chunks = dict[str, int](), 0, 0
    for name, count, embedded, total in connection.execute(query.group_by(state)):
        num_files[name] = count
        num_embedded, num_chunks = num_embedded + int(embedded or 0), num_chunks + int(total or 0)
    return BatchProgress(**num_files, num_embedded=num_embedded, num_chunks=num_chunks)


def ended_batch_progress(connection: Connection, tenant: str, vector_store_id: str, batch_id: str) -> BatchProgress:
    """Count the chunks of a batch none of whose files is in progress."""
    columns = batch_files.c
    is_member = and_(*(columns[name] == chunks.c[name] for name in ("tenant", "vector_store_id", "file_id")))
    query = (
        select(func.count())
        .select_from(batch_files.join(chunks, is_member))
        .where(columns.tenant == tenant, columns.vector_store_id == vector_store_id, columns.batch_id == batch_id)
    )
    num_chunks = connection.execute(query).scalar_one()
    return BatchProgress(num_embedded=num_chunks, num_chunks=num_chunks)


def _state(now: float) -> ColumnElement[str]:
    """A job's JobState. One whose lease expired is queued: another worker may claim it."""
    is_queued = or_(jobs.c.lease_owner.is_(None), jobs.c.lease_expires_at <= now)
    return case((is_queued, "queued"), (jobs.c.num_chunks.is_(None), "parsing"), else_="embedding")


def _to_progress(row: Row[Any], now: float) -> JobProgress:
    is_paused = row.lease_owner is None and row.lease_expires_at > now
    return JobProgress(
        state=row.state,
        num_embedded=row.num_embedded,
        num_chunks=row.num_chunks,
        num_attempts=row.attempts,
        last_reason=row.last_reason,
        retry_at=int(row.lease_expires_at) if is_paused else None,
    )
