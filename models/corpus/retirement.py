"""Delete the vectors of retired generations: those that no search, build or flip back can use any more."""

from collections.abc import Callable

from sqlalchemy import Connection, and_, delete, func, or_, select

from models.corpus.database import Database
from models.corpus.schema import vector_stores, vectors
from models.corpus.vector_stores import is_store

RETIRE_STEP = 500  # vectors deleted in one transaction: some 40 ms with their token vectors, 8 ms without


def retire_vectors(database: Database, clock: Callable[[], float], keep_s: float) -> int:
    """Delete vectors of abandoned builds, and of generations that were replaced more than `keep_s` seconds ago.

    Return how many were deleted.
    """
    columns = vector_stores.c
    has_old = or_(columns.previous.is_not(None), columns.building.is_not(None), columns.flipped_at.is_not(None))
    with database.reading() as connection:
        stores = connection.execute(select(columns.tenant, columns.vector_store_id).where(has_old)).all()
        generations = [
            (*store, generation) for store in stores for generation in _stored_generations(connection, *store)
        ]
    return sum(_retire(database, *generation, lambda: clock() - keep_s) for generation in generations)


def _retire(
    database: Database, tenant: str, vector_store_id: str, generation: str, flipped_after: Callable[[], float]
) -> int:
    """Delete in short transactions. Each one checks again that the generation is not in use."""
    is_old = and_(is_store(vectors, tenant, vector_store_id), vectors.c.generation == generation)
    step = select(vectors.c.chunk_key).where(is_old).limit(RETIRE_STEP)
    num_deleted, is_done = 0, False
    while not is_done:
        with database.deleting() as connection:
            if _is_in_use(connection, tenant, vector_store_id, generation, flipped_after()):
                return num_deleted
            keys = list(connection.scalars(step))
            connection.execute(delete(vectors).where(is_old, vectors.c.chunk_key.in_(keys)))
            num_deleted, is_done = num_deleted + len(keys), len(keys) < RETIRE_STEP
    return num_deleted


def _is_in_use(
    connection: Connection, tenant: str, vector_store_id: str, generation: str, flipped_after: float
) -> bool:
    """Lock the store. `previous` is in use if the flip is recent. True also for a store that was deleted."""
    columns = vector_stores.c
    query = select(columns.generation, columns.building, columns.previous, columns.flipped_at)
    row = connection.execute(query.where(is_store(vector_stores, tenant, vector_store_id)).with_for_update()).first()
    if row is None or generation in (row.generation, row.building):
        return True
    return generation == row.previous and row.flipped_at is not None and row.flipped_at > flipped_after


def _stored_generations(connection: Connection, tenant: str, vector_store_id: str) -> list[str]:
    """List the generations that the store has vectors of.

    One index lookup each, because DISTINCT would read the whole index.
    """
    generations: list[str] = []
    of_store = is_store(vectors, tenant, vector_store_id)
    query = select(func.min(vectors.c.generation)).where(of_store)
    name = connection.scalar(query)
    while name is not None:
        generations.append(name)
        name = connection.scalar(query.where(vectors.c.generation > name))
    return generations
