"""The log's length: what was removed long ago is forgotten, and views that missed it start again."""

from dataclasses import dataclass

from sqlalchemy import delete, func, select, update

from models.corpus.database import Database
from models.corpus.schema import removed_chunks, vector_stores
from models.corpus.vector_stores import is_store

DEFAULT_KEPT = 100_000  # removals of a store: some 10 MB


@dataclass(frozen=True)
class Log:
    """Removals are the only part of the log that grows for ever; additions go with the chunks."""

    database: Database

    def trim(self, kept: int = DEFAULT_KEPT) -> int:
        """Forgets all but about the last `kept` removals of each store, whole changes at a time; how many went."""
        columns = removed_chunks.c
        sizes = select(columns.tenant, columns.vector_store_id).group_by(columns.tenant, columns.vector_store_id)
        with self.database.reading() as connection:
            long = connection.execute(sizes.having(func.count() > kept)).all()
        return sum(self._trim(tenant, vector_store_id, kept) for tenant, vector_store_id in long)

    def _trim(self, tenant: str, vector_store_id: str, kept: int) -> int:
        of_store = is_store(removed_chunks, tenant, vector_store_id)
        nth = select(removed_chunks.c.seq).where(of_store).order_by(removed_chunks.c.seq.desc()).limit(1).offset(kept)
        with self.database.writing() as connection:
            up_to_seq = connection.scalar(nth)
            if up_to_seq is None:
                return 0
            is_row = is_store(vector_stores, tenant, vector_store_id)
            connection.execute(update(vector_stores).where(is_row).values(trimmed_seq=up_to_seq))
            return connection.execute(
                delete(removed_chunks).where(of_store, removed_chunks.c.seq <= up_to_seq)
            ).rowcount
