"""Ingest files of a vector store again, as its options of ingestion have changed."""

from typing import Any

from sqlalchemy import Connection, and_, delete, or_, update

from models.corpus.job_queue import enqueue_where
from models.corpus.schema import jobs, store_files

# Of a file that is ingested again: it has not failed yet.
FRESH: dict[str, Any] = {"status": "in_progress", "last_error_code": None, "last_error_message": None}
FRESH |= {"failure_reason": None, "failed_at": None, "failed_attempts": 0}


def reingest(connection: Connection, tenant: str, vector_store_id: str, now: int) -> None:
    """Ingest every file again that is searched, and those in progress from the start. The caller has locked the store.

    The chunks stay searchable until then.
    """
    columns = store_files.c
    is_active = or_(columns.status.in_(["completed", "in_progress"]), columns.version > 0)
    is_due = and_(columns.tenant == tenant, columns.vector_store_id == vector_store_id, is_active)
    # Replace the jobs, so that no worker can complete a file as the options were before.
    connection.execute(delete(jobs).where(jobs.c.tenant == tenant, jobs.c.vector_store_id == vector_store_id))
    enqueue_where(connection, is_due, now)
    connection.execute(update(store_files).where(is_due).values(FRESH))
