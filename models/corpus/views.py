"""The corpus as searcher replicas read it: heads of logs, changes since a position, and passages by chunk key."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Column, Connection, Row, Select, and_, bindparam, literal, select

from models.corpus.database import Database
from models.corpus.derived import effective_attributes
from models.corpus.facets import Facets, read_facets
from models.corpus.passages import read_passages, read_shown_texts
from models.corpus.records import Changes, Head, TextChanges, TokenChanges, VectorChanges
from models.corpus.schema import chunks, removed_chunks, store_files, token_vectors, vector_stores, vectors
from models.corpus.vector_stores import is_store
from models.errors.requests import ConflictError, InvalidRequestError, NotFoundError
from models.filters import Attributes
from models.types.arrays import FloatArray, KeyArray
from models.types.chunks import Passage, indexed_text
from models.types.scope import DEFAULT_VECTOR_STORE, Scope

DEFAULT_CHANGES_LIMIT = 4096  # rows per page: 6 MB of 384-d vectors
DEFAULT_TOKENS_LIMIT = 512  # rows per page: 4 to 9 MB of token vectors

_Store = tuple[str, str]  # tenant, vector_store_id

# Built once, so that SQLAlchemy compiles it once and the driver keeps it prepared.
_NO_HEAD = Head(0, "")
_EMPTY_LOG: Any = select(literal(0).label("seq"), literal("").label("log_id"), literal(0).label("trimmed_seq"))

# Two separate lists, because SQLite scans the table for a list of pairs. The index is searched for every combination.
_HEADS = select(
    vector_stores.c.tenant, vector_stores.c.vector_store_id, vector_stores.c.seq, vector_stores.c.log_id
).where(
    vector_stores.c.tenant.in_(bindparam("tenants", expanding=True)),
    vector_stores.c.vector_store_id.in_(bindparam("vector_store_ids", expanding=True)),
)

_SEARCHED = select(
    vector_stores.c.vector_store_id, vector_stores.c.log_id, vector_stores.c.seq, vector_stores.c.generation
).where(
    vector_stores.c.tenant == bindparam("tenant"),
    vector_stores.c.vector_store_id.in_(bindparam("vector_store_ids", expanding=True)),
)

_RECENT = (
    select(
        vector_stores.c.tenant, vector_stores.c.vector_store_id, vector_stores.c.generation, vector_stores.c.building
    )
    .where(vector_stores.c.seq > 0)
    .order_by(vector_stores.c.last_active_at.desc(), vector_stores.c.store_key)
    .limit(bindparam("limit"))
)


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a store: the chunks with key % count == number."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number} of {self.count}"


@dataclass(frozen=True)
class SearchedStore:
    """A store's position in its log, and the generation that it is searched in; None before its first chunk."""

    vector_store_id: str
    log_id: str
    seq: int
    generation: str | None


@dataclass(frozen=True)
class ActiveStore:
    """A vector store, the generation that it is searched in, and the one it builds."""

    tenant: str
    vector_store_id: str
    generations: tuple[str, ...]


@dataclass(frozen=True)
class _Log:
    """Rows with a `chunk_key`, and the column that numbers their changes. A view that filters needs attributes."""

    rows: Select[Any]
    seq: Column[int]
    has_attributes: bool = True

    def seq_of_row(self, connection: Connection, after_seq: int, num_rows: int) -> int | None:
        """Return the change of the `num_rows`-th row after `after_seq`, None if there are fewer rows."""
        later = self.rows.with_only_columns(self.seq).where(self.seq > after_seq)
        return connection.scalar(later.order_by(self.seq).limit(1).offset(num_rows - 1))

    def read(self, connection: Connection, after_seq: int, up_to_seq: int) -> Sequence[Row[Any]]:
        key = self.rows.selected_columns.chunk_key
        within = self.rows.where(self.seq > after_seq, self.seq <= up_to_seq)
        return connection.execute(within.order_by(self.seq, key)).all()


@dataclass(frozen=True)
class Views:
    """Reads the log and the chunks for searcher replicas.

    A replica remembers a sequence number for each vector store. When `heads` returns a higher one, it reads all changes
    in between before it answers.
    """

    database: Database

    def heads(self, stores: Collection[tuple[str, str]]) -> dict[tuple[str, str], Head]:
        """Return the head of each (tenant, vector_store_id), from one query. Unknown stores are absent.

        `default` always has a head: sequence number 0 and an empty log id before its first change.
        """
        heads = {store: _NO_HEAD for store in stores if store[1] == DEFAULT_VECTOR_STORE}
        distinct_stores = frozenset(stores)
        parameters = {
            "tenants": sorted({tenant for tenant, _ in distinct_stores}),
            "vector_store_ids": sorted({vector_store_id for _, vector_store_id in distinct_stores}),
        }
        with self.database.reading() as connection:
            rows = connection.execute(_HEADS, parameters).all()
        return heads | {(row[0], row[1]): Head(row[2], row[3]) for row in rows if (row[0], row[1]) in distinct_stores}

    def searched_state(self, scope: Scope) -> tuple[SearchedStore, ...]:
        """Return the state of each store that a search of the scope reads, from one query. Unknown stores are absent.

        While two states are equal, the same search reads the same chunks, vectors, attributes and file names.
        """
        parameters = {"tenant": scope.tenant, "vector_store_ids": scope.vector_store_ids}
        with self.database.reading() as connection:
            rows = {row[0]: row for row in connection.execute(_SEARCHED, parameters)}
        return tuple(SearchedStore(*rows[store_id]) for store_id in scope.vector_store_ids if store_id in rows)

    def facets(self, scope: Scope) -> Facets:
        """What the files in scope can be told apart by."""
        return read_facets(self.database, scope)

    def recent(self, limit: int) -> list[ActiveStore]:
        """List the most recently changed stores of all tenants, at most `limit`."""
        with self.database.reading() as connection:
            rows = connection.execute(_RECENT, {"limit": limit}).all()
        return [ActiveStore(row[0], row[1], tuple(name for name in row[2:] if name)) for row in rows]

    def vector_changes(  # noqa: PLR0913, the coordinates of a page
        self,
        tenant: str,
        vector_store_id: str,
        after_seq: int,
        generation: str,
        limit: int = DEFAULT_CHANGES_LIMIT,
        shard: Shard | None = None,
        started_seq: int = 0,
    ) -> VectorChanges:
        """Return the changes of the store's vectors of `generation`, or of one shard of them, since `after_seq`.

        From 0, only existing vectors are returned. A page never splits a change: it ends with the change of its
        `limit`-th addition, and has all removals up to there. `started_seq` is the head when the view read its first
        page; removals before it do not concern the view. Raises NotFoundError. Raises ConflictError if the log is
        behind `after_seq`, or if removals that the view needs were deleted: start again from 0.
        """
        store = (tenant, vector_store_id)
        is_indexed = and_(is_store(vectors, *store), vectors.c.generation == generation)
        added = select(vectors.c.chunk_key, vectors.c.file_key, vectors.c.vector).where(is_indexed)
        if shard is not None:
            added = added.where(vectors.c.chunk_key % shard.count == shard.number)
        with self.database.reading() as connection:
            log = _Log(added, vectors.c.seq)
            changes, rows = _read_changes(connection, store, log, after_seq, started_seq, limit)
        matrix = _to_matrix([row.vector for row in rows])
        return VectorChanges(**vars(changes), added_file_keys=_column(rows, "file_key"), vectors=matrix)

    def token_changes(  # noqa: PLR0913, the coordinates of a page
        self,
        tenant: str,
        vector_store_id: str,
        after_seq: int,
        generation: str,
        limit: int = DEFAULT_TOKENS_LIMIT,
        shard: Shard | None = None,
        started_seq: int = 0,
    ) -> TokenChanges:
        """Return the changes of the store's token vectors of `generation` since `after_seq`. See `vector_changes`."""
        store = (tenant, vector_store_id)
        is_stored = and_(is_store(token_vectors, *store), token_vectors.c.generation == generation)
        added = select(token_vectors.c.chunk_key, token_vectors.c.codes).where(is_stored)
        if shard is not None:
            added = added.where(token_vectors.c.chunk_key % shard.count == shard.number)
        with self.database.reading() as connection:
            log = _Log(added, token_vectors.c.seq, has_attributes=False)
            changes, rows = _read_changes(connection, store, log, after_seq, started_seq, limit)
        return TokenChanges(**vars(changes), codes=tuple(row.codes for row in rows))

    def text_changes(
        self,
        tenant: str,
        vector_store_id: str,
        after_seq: int,
        limit: int = DEFAULT_CHANGES_LIMIT,
        shard: Shard | None = None,
        started_seq: int = 0,
    ) -> TextChanges:
        """Return the changes of the store's texts, or of one shard of them, since `after_seq`. See `vector_changes`."""
        store = (tenant, vector_store_id)
        added = select(chunks.c.chunk_key, chunks.c.file_key, chunks.c.context, chunks.c.text)
        added = added.where(is_store(chunks, *store))
        if shard is not None:
            added = added.where(chunks.c.chunk_key % shard.count == shard.number)
        with self.database.reading() as connection:
            log = _Log(added, chunks.c.seq)
            changes, rows = _read_changes(connection, store, log, after_seq, started_seq, limit)
        texts = tuple(indexed_text(row.context, row.text) for row in rows)
        return TextChanges(**vars(changes), added_file_keys=_column(rows, "file_key"), texts=texts)

    def passages(self, keys: KeyArray | list[int], scope: Scope) -> dict[int, Passage]:
        """Return the passages of `keys` in `scope`. Deleted chunks and other tenants' chunks are absent."""
        if len(keys) == 0 or not scope.vector_store_ids:
            return {}
        parameters = {
            "keys": np.asarray(keys, np.int64).tolist(),
            "tenant": scope.tenant,
            "vector_store_ids": scope.vector_store_ids,
        }
        with self.database.reading() as connection:
            return read_passages(connection, parameters)

    def shown_texts(self, keys: Sequence[int], scope: Scope) -> dict[int, str]:
        """Return what a search shows in place of each chunk, for those of `keys` in `scope` that show more."""
        parameters = {"keys": list(keys), "tenant": scope.tenant, "vector_store_ids": scope.vector_store_ids}
        with self.database.reading() as connection:
            return read_shown_texts(connection, parameters)

    def vectors_of(self, keys: KeyArray | list[int], generation: str, scope: Scope) -> dict[int, FloatArray]:
        """Return the vectors (dim,) in `generation` of `keys` in `scope`. Chunks without a vector are absent."""
        query = select(vectors.c.chunk_key, vectors.c.vector).where(
            vectors.c.chunk_key.in_(np.asarray(keys, np.int64).tolist()),
            vectors.c.generation == generation,
            vectors.c.tenant.concat("") == scope.tenant,
            vectors.c.vector_store_id.in_(scope.vector_store_ids),
        )
        with self.database.reading() as connection:
            return {row[0]: np.frombuffer(row[1], "<f4") for row in connection.execute(query)}


def _read_changes(
    connection: Connection, store: _Store, added: _Log, after_seq: int, started_seq: int, limit: int
) -> tuple[Changes, Sequence[Row[Any]]]:
    """Read one page, and the rows of `added` in it.

    The head is read first. On PostgreSQL, each statement sees what was committed before it. A row that is deleted
    between two statements then has a removal after the head, which the view reads next time.
    """
    if limit < 1:
        raise InvalidRequestError(f"limit is {limit}; it must be at least 1", "limit")
    head = _log(connection, store)
    if after_seq > head.seq or (after_seq > 0 and max(after_seq, started_seq) < head.trimmed_seq):
        raise ConflictError(f"the view is at {after_seq}, the log is at {head.seq}; start again from 0")
    up_to_seq = min(head.seq, added.seq_of_row(connection, after_seq, limit) or head.seq)
    rows = added.read(connection, after_seq, up_to_seq)
    removed = _removed_since(store, after_seq).read(connection, after_seq, up_to_seq)
    changes = Changes(
        log_id=head.log_id,
        up_to_seq=up_to_seq,
        head_seq=head.seq,
        added_keys=_column(rows, "chunk_key"),
        removed_keys=_column(removed, "chunk_key"),
        attributes=_attributes(connection, store, after_seq, up_to_seq) if added.has_attributes else {},
    )
    return changes, rows


def _removed_since(store: _Store, after_seq: int) -> _Log:
    """Select removals, without chunks that were added after `after_seq`: the view never received those."""
    is_received = and_(is_store(removed_chunks, *store), removed_chunks.c.added_seq <= after_seq)
    return _Log(select(removed_chunks.c.chunk_key).where(is_received), removed_chunks.c.seq)


def _attributes(connection: Connection, store: _Store, after_seq: int, up_to_seq: int) -> dict[int, Attributes]:
    """Return the attributes of files whose attributes were last set in between, by file key."""
    columns = store_files.c
    is_between = and_(columns.attributes_seq > after_seq, columns.attributes_seq <= up_to_seq)
    query: Select[Any] = select(columns.store_file_key, columns.attributes, columns.derived)
    rows = connection.execute(query.where(is_store(store_files, *store), is_between))
    return {row.store_file_key: effective_attributes(row) for row in rows}


def _log(connection: Connection, store: _Store) -> Row[Any]:
    columns = vector_stores.c
    query: Select[Any] = select(columns.seq, columns.log_id, columns.trimmed_seq)
    query = query.where(is_store(vector_stores, *store))
    row = connection.execute(query).first()
    if row is not None:
        return row
    if store[1] != DEFAULT_VECTOR_STORE:
        raise NotFoundError("vector store", store[1])
    return connection.execute(_EMPTY_LOG).one()


def _column(rows: Sequence[Row[Any]], name: str) -> KeyArray:
    return np.array([getattr(row, name) for row in rows], np.int64)


def _to_matrix(blobs: list[bytes]) -> FloatArray:
    return np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), -1 if blobs else 0)
