"""Limit the log's length: old removals are deleted, and views that missed them start again."""

from dataclasses import dataclass

from sqlalchemy import delete, func, select, update

from models.corpus.database import Database
from models.corpus.schema import removed_chunks, vector_stores
from models.corpus.vector_stores import is_store

DEFAULT_MAX_REMOVALS = 100_000  # of a store: some 10 MB


@dataclass(frozen=True)
class Log:
    """Trims removals, the only entries that would grow without limit. Additions are deleted with their chunks."""

    database: Database

    def trim(self, max_removals: int = DEFAULT_MAX_REMOVALS) -> int:
        """Delete all but about the last `max_removals` removals of each store, whole changes at a time.

        Return how many were deleted.
        """
        columns = removed_chunks.c
        sizes = select(columns.tenant, columns.vector_store_id).group_by(columns.tenant, columns.vector_store_id)
        with self.database.reading() as connection:
            stores = connection.execute(sizes.having(func.count() > max_removals)).all()
        return sum(self._trim(tenant, vector_store_id, max_removals) for tenant, vector_store_id in stores)

    def _trim(self, tenant: str, vector_store_id: str, max_removals: int) -> int:
        of_store = is_store(removed_chunks, tenant, vector_store_id)
        newest_first = select(removed_chunks.c.seq).where(of_store).order_by(removed_chunks.c.seq.desc())
        with self.database.deleting() as connection:
            up_to_seq = connection.scalar(newest_first.limit(1).offset(max_removals))
            if up_to_seq is None:
                return 0
            is_row = is_store(vector_stores, tenant, vector_store_id)
            connection.execute(update(vector_stores).where(is_row).values(trimmed_seq=up_to_seq))
            return connection.execute(
                delete(removed_chunks).where(of_store, removed_chunks.c.seq <= up_to_seq)
            ).rowcount
