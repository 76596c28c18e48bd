"""Index generations: the vector space that a vector store is searched in, and the next one, built in the background.

Searches use a store's `generation`. While `building` names another one, every new chunk gets a vector in both, and the
owner of the store's build lease adds vectors for the old chunks. When no chunk lacks a vector, `flip` makes `building`
the searched generation in one transaction. The old generation stays as `previous`, so that going back only needs
vectors for newer chunks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, exists, func, or_, select, update

from models.corpus.chunks import VectorRows, insert_vectors
from models.corpus.database import Database
from models.corpus.leases import CLOCK_TOLERANCE, has_ended
from models.corpus.records import BuildProgress
from models.corpus.retirement import retire_vectors
from models.corpus.schema import chunks, vector_stores, vectors
from models.corpus.vector_stores import is_store, lock_store
from models.errors.requests import ConflictError, InvalidRequestError, MissingVectorsError, NotFoundError
from models.types.arrays import FloatArray
from models.types.chunks import indexed_text
from models.types.scope import DEFAULT_VECTOR_STORE, Scope

# Built once: every question reads it, and to build it takes as long as to run it.
_SEARCHED = select(vector_stores.c.vector_store_id, vector_stores.c.generation).where(
    vector_stores.c.tenant == bindparam("tenant"),
    vector_stores.c.vector_store_id.in_(bindparam("vector_store_ids", expanding=True)),
)


@dataclass(frozen=True)
class Build:
    """A leased build of `generation` for one vector store. It is lost when another owner claims the store."""

    owner: str
    tenant: str
    vector_store_id: str
    generation: str


@dataclass(frozen=True)
class PendingChunk:
    """A chunk without a vector in the generation under construction. `text` is the text to embed."""

    key: int
    file_key: int
    text: str


@dataclass(frozen=True)
class Generations:
    """Reads the generations of stores, builds the next generation and flips to it."""

    database: Database
    clock: Callable[[], float]

    def required(self, tenant: str, vector_store_id: str) -> tuple[str, ...]:
        """Return the generations that a new chunk needs vectors of, the searched one first.

        Empty before the first file.
        """
        with self.database.reading() as connection:
            row = _row(connection, tenant, vector_store_id)
        return () if row is None else _required(row)

    def searched(self, scope: Scope) -> dict[str, tuple[str, ...]]:
        """Group the stores of the scope by the generation to search them in. Stores that never had a file are absent.

        Raises NotFoundError for an unknown store.
        """
        parameters = {"tenant": scope.tenant, "vector_store_ids": scope.vector_store_ids}
        with self.database.reading() as connection:
            generations = {row[0]: row[1] for row in connection.execute(_SEARCHED, parameters)}
        stores: dict[str, tuple[str, ...]] = {}
        for vector_store_id in scope.vector_store_ids:
            if vector_store_id not in generations and vector_store_id != DEFAULT_VECTOR_STORE:
                raise NotFoundError("vector store", vector_store_id)
            if generation := generations.get(vector_store_id):
                stores[generation] = (*stores.get(generation, ()), vector_store_id)
        return stores

    def claim(self, owner: str, target: str, lease_s: float) -> Build | None:
        """Claim the oldest store that is not searched in `target` and has no build lease, and start its build.

        Stores that are already searched in `target` stop building other generations.
        """
        now = self.clock()
        with self.database.reading() as connection:
            unbuilt = select(vector_stores.c.store_key).where(_needs_claim(target, now, lease_s))
            if connection.scalar(unbuilt.limit(1)) is None:
                return None
        with self.database.writing() as connection:
            _stop_builds(connection, target)
            return _claim(connection, owner, target, now, lease_s)

    def renew(self, build: Build, lease_s: float) -> None:
        """Extend the lease to `lease_s` from now. Raises ConflictError if the build was lost."""
        with self.database.writing() as connection:
            values = {"build_lease_expires_at": self.clock() + lease_s}
            num_renewed = connection.execute(update(vector_stores).where(_is_owned(build)).values(values)).rowcount
        if not num_renewed:
            raise _lost(build)

    def release(self, build: Build) -> None:
        """End the lease. Any other owner may claim the store and continue."""
        with self.database.writing() as connection:
            values = {"build_owner": None, "build_lease_expires_at": 0.0}
            connection.execute(update(vector_stores).where(_is_owned(build)).values(values))

    def pending(self, build: Build, limit: int, after_key: int = 0) -> list[PendingChunk]:
        """List at most `limit` chunks that still need a vector, sorted by key, with keys above `after_key`."""
        columns = chunks.c
        query = select(columns.chunk_key, columns.file_key, columns.context, columns.text)
        query = query.where(_lacks_vector(build), columns.chunk_key > after_key).order_by(columns.chunk_key)
        with self.database.reading() as connection:
            rows = connection.execute(query.limit(limit)).all()
        return [PendingChunk(row.chunk_key, row.file_key, indexed_text(row.context, row.text)) for row in rows]

    def add(
        self,
        build: Build,
        pending: Sequence[PendingChunk],
        matrix: FloatArray,
        token_codes: Sequence[bytes] = (),
    ) -> int:
        """Store the vectors (len(pending), dim) of the chunks that still exist and lack one.

        `token_codes` has the encoded token vectors of each chunk, or is empty. Return how many were stored. Raises
        ConflictError if the build was lost, InvalidRequestError for a wrong number of codes.
        """
        if token_codes and len(token_codes) != len(pending):
            problem = f"token_codes has {len(token_codes)} items for {len(pending)} chunks; give one for each, or none"
            raise InvalidRequestError(problem, "token_codes")
        rows_by_key = {chunk.key: row for row, chunk in enumerate(pending)}
        with self.database.writing() as connection:
            seq = self._lock(connection, build)
            is_pending = chunks.c.chunk_key.in_(list(rows_by_key))
            keys = list(connection.scalars(select(chunks.c.chunk_key).where(is_pending, _lacks_vector(build))))
            rows = [rows_by_key[key] for key in keys]
            file_keys = [pending[row].file_key for row in rows]
            codes = [token_codes[row] for row in rows] if token_codes else []
            batch = VectorRows(
                build.tenant, build.vector_store_id, build.generation, keys, file_keys, np.asarray(matrix)[rows], codes
            )
            insert_vectors(connection, batch, seq)
        return len(keys)

    def flip(self, build: Build) -> bool:
        """Search the built generation from now on. False if a chunk still lacks a vector. Raises ConflictError."""
        with self.database.writing() as connection:
            self._lock(connection, build)
            if connection.scalar(select(chunks.c.chunk_key).where(_lacks_vector(build)).limit(1)) is not None:
                return False
            values = {
                "generation": build.generation,
                "previous": vector_stores.c.generation,
                "building": None,
                "flipped_at": int(self.clock()),
                "build_owner": None,
                "build_lease_expires_at": 0.0,
            }
            connection.execute(update(vector_stores).where(_is_owned(build)).values(values))
        return True

    def progress(self, tenant: str, vector_store_id: str) -> BuildProgress | None:
        """Return the progress of the store's next generation, None if it builds none."""
        with self.database.reading() as connection:
            row = _row(connection, tenant, vector_store_id)
            if row is None or row.building is None:
                return None
            is_built = and_(is_store(vectors, tenant, vector_store_id), vectors.c.generation == row.building)
            num_done = _count(connection, select(func.count()).select_from(vectors).where(is_built))
            of_store = select(func.count()).select_from(chunks).where(is_store(chunks, tenant, vector_store_id))
            return BuildProgress(row.building, num_done, _count(connection, of_store))

    def retire(self, keep_s: float) -> int:
        """Delete vectors of abandoned builds, and of generations that were replaced more than `keep_s` seconds ago.

        Return how many were deleted.
        """
        return retire_vectors(self.database, self.clock, keep_s)

    def _lock(self, connection: Connection, build: Build) -> int:
        """Lock the store and return the change's sequence number. Raises ConflictError if the build was lost."""
        seq = connection.scalar(
            update(vector_stores)
            .where(_is_owned(build))
            .values(seq=vector_stores.c.seq + 1)
            .returning(vector_stores.c.seq)
        )
        if seq is None:
            raise _lost(build)
        return seq


def _lost(build: Build) -> ConflictError:
    return ConflictError(f"another worker took over the build of {build.generation} for {build.vector_store_id}")


def settle_generations(
    connection: Connection, tenant: str, vector_store_id: str, available: Sequence[str]
) -> tuple[str, ...]:
    """Choose from `available` the generations to store a new chunk's vectors in.

    A store without a generation gets the first of them. The caller has locked the store. Raises MissingVectorsError.
    """
    row = _row(connection, tenant, vector_store_id)
    required = _required(row) if row is not None else ()
    if missing := tuple(generation for generation in required if generation not in available):
        raise MissingVectorsError(missing)
    if required or not available:
        return required
    statement = update(vector_stores).where(is_store(vector_stores, tenant, vector_store_id))
    connection.execute(statement.values(generation=available[0]))
    return (available[0],)


def _row(connection: Connection, tenant: str, vector_store_id: str) -> Row[Any] | None:
    query: Select[Any] = select(vector_stores.c.generation, vector_stores.c.building)
    return connection.execute(query.where(is_store(vector_stores, tenant, vector_store_id))).first()


def _required(row: Row[Any]) -> tuple[str, ...]:
    return tuple(name for name in (row.generation, row.building) if name is not None)


def _needs_claim(target: str, now: float, lease_s: float) -> ColumnElement[bool]:
    columns = vector_stores.c
    to_build = and_(columns.generation != target, _is_free(now, lease_s))
    return or_(to_build, and_(columns.generation == target, columns.building.is_not(None)))


def _stop_builds(connection: Connection, target: str) -> None:
    """Stop builds in stores that are searched in `target` already. `retire` deletes the vectors built so far."""
    columns = vector_stores.c
    is_obsolete = and_(columns.generation == target, columns.building.is_not(None))
    values = {"building": None, "build_owner": None, "build_lease_expires_at": 0.0}
    connection.execute(update(vector_stores).where(is_obsolete).values(values))


def _claim(connection: Connection, owner: str, target: str, now: float, lease_s: float) -> Build | None:
    columns = vector_stores.c
    is_next = and_(columns.generation != target, _is_free(now, lease_s))
    query = select(columns.tenant, columns.vector_store_id).where(is_next).order_by(columns.store_key).limit(1)
    row = connection.execute(query.with_for_update(skip_locked=True)).first()
    if row is None:
        return None
    lock_store(
        connection, row.tenant, row.vector_store_id, int(now)
    )  # from here on, complete() requires vectors of both
    values = {"building": target, "build_owner": owner, "build_lease_expires_at": now + lease_s}
    connection.execute(update(vector_stores).where(is_store(vector_stores, *row)).values(values))
    return Build(owner, row.tenant, row.vector_store_id, target)


def _is_free(now: float, lease_s: float) -> ColumnElement[bool]:
    return has_ended(vector_stores.c.build_lease_expires_at, now, CLOCK_TOLERANCE * lease_s)


def _is_owned(build: Build) -> ColumnElement[bool]:
    columns = vector_stores.c
    is_build = and_(columns.building == build.generation, columns.build_owner == build.owner)
    return and_(is_store(vector_stores, build.tenant, build.vector_store_id), is_build)


def _lacks_vector(build: Build) -> ColumnElement[bool]:
    has_vector = exists().where(vectors.c.chunk_key == chunks.c.chunk_key, vectors.c.generation == build.generation)
    return and_(is_store(chunks, build.tenant, build.vector_store_id), ~has_vector)


def _count(connection: Connection, query: Select[Any]) -> int:
    return connection.scalar(query) or 0
