"""The order of waiting jobs: small files have a lane of their own, tenants and their vector stores take turns.

Inside a queue, jobs go by `due_at`: the time at which the file came, and the time that it lets smaller files pass. A
file is passed by files that came up to MAX_PATIENCE_S later, and by none after that. Functions run inside a caller's
transaction.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Row,
    Select,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    select,
    true,
)

from models.corpus.chunks import is_attachment
from models.corpus.leases import has_ended
from models.corpus.records import AttachmentId
from models.corpus.schema import files, jobs, store_files, vector_stores
from models.corpus.turns import Lane, Queue

SMALL_FILE_BYTES = 64 * 1024  # some 16,000 tokens of text
# About the time that embedding takes: 1 MB of English are 250,000 tokens, and two cores embed some 5,000 a second.
PATIENCE_S_PER_BYTE = 50e-6
MAX_PATIENCE_S = 600.0


def enqueue(connection: Connection, attachment: AttachmentId, now: float) -> None:
    """Add a job for the attached file at its place in the queue."""
    enqueue_where(connection, is_attachment(store_files, attachment), now)


def enqueue_where(connection: Connection, is_due: ColumnElement[bool], now: float) -> None:
    """Add a job for each attached file that the condition selects, in the order of their attachment."""
    size = files.c.size_bytes
    patience = cast(size, Float) * literal(PATIENCE_S_PER_BYTE, Float)
    patience = case((patience > MAX_PATIENCE_S, literal(MAX_PATIENCE_S, Float)), else_=patience)
    identity = [store_files.c[name] for name in ("tenant", "vector_store_id", "file_id")]
    rows = select(
        *identity,
        literal(0),
        literal(0.0, Float),
        size > SMALL_FILE_BYTES,
        literal(float(now), Float) + patience,
    )
    is_file = and_(files.c.tenant == store_files.c.tenant, files.c.file_id == store_files.c.file_id)
    rows = rows.join_from(store_files, files, is_file).where(is_due).order_by(store_files.c.store_file_key)
    columns = [column.name for column in identity] + ["attempts", "lease_expires_at", "is_large", "due_at"]
    connection.execute(insert(jobs).from_select(columns, rows))


def is_free(now: float, longest_s: float) -> ColumnElement[bool]:
    """Whether neither a lease nor a pause keeps the job. `longest_s` is what either may last."""
    return has_ended(jobs.c.lease_expires_at, now, longest_s)


def is_waiting(lane: Lane, now: float, longest_s: float) -> ColumnElement[bool]:
    return and_(is_free(now, longest_s), _is_in(lane))


def lock_next(
    connection: Connection, lane: Lane, owner: str, is_next: ColumnElement[bool], limit: int
) -> Sequence[Row[Any]]:
    """Lock up to `limit` of the lane's next jobs, in turn. Each row has the job, its file, chunking and options."""
    query = select(jobs.c.tenant, jobs.c.vector_store_id).where(is_next).distinct()
    queues = {(row.tenant, row.vector_store_id) for row in connection.execute(query)}
    lane.forget_all_but(queues)
    working, rows = _working(connection, lane, owner), list[Row[Any]]()
    while queues and len(rows) < limit:
        places = lane.share(queues, working, limit - len(rows))
        if not places:
            break  # each tenant has its share
        taken = [row.job_id for row in rows]
        for queue, count in places.items():
            locked = _lock(connection, queue, and_(is_next, jobs.c.job_id.not_in(taken)), count)
            rows += locked
            working[queue] = working.get(queue, 0) + len(locked)
            if len(locked) < count:
                queues.discard(queue)
    return rows


def _is_in(lane: Lane) -> ColumnElement[bool]:
    return true() if lane.is_large is None else jobs.c.is_large.is_(lane.is_large)


def _working(connection: Connection, lane: Lane, owner: str) -> dict[Queue, int]:
    """The owner's leased jobs in the lane, by queue."""
    query = select(jobs.c.tenant, jobs.c.vector_store_id, func.count()).where(jobs.c.lease_owner == owner, _is_in(lane))
    rows = connection.execute(query.group_by(jobs.c.tenant, jobs.c.vector_store_id))
    return {(tenant, vector_store_id): count for tenant, vector_store_id, count in rows}


def _lock(connection: Connection, queue: Queue, is_next: ColumnElement[bool], limit: int) -> Sequence[Row[Any]]:
    """Lock the queue's first jobs that are next, and that no other transaction has locked."""
    store_file = and_(*(jobs.c[name] == store_files.c[name] for name in ("tenant", "vector_store_id", "file_id")))
    file = and_(jobs.c.tenant == files.c.tenant, jobs.c.file_id == files.c.file_id)
    store = and_(*(jobs.c[name] == vector_stores.c[name] for name in ("tenant", "vector_store_id")))
    columns = (files.c.filename, files.c.version, files.c.size_bytes)
    options = (vector_stores.c.enrichment, vector_stores.c.masked_kinds)
    chunking = [column for column in store_files.c if column.name.startswith("chunking_")]
    query: Select[Any] = select(jobs, *columns, *options, *chunking)
    query = query.join(store_files, store_file).join(files, file).join(vector_stores, store)
    query = query.where(jobs.c.tenant == queue[0], jobs.c.vector_store_id == queue[1], is_next)
    query = query.order_by(jobs.c.due_at, jobs.c.job_id).limit(limit)
    return connection.execute(query.with_for_update(of=jobs, skip_locked=True)).all()
