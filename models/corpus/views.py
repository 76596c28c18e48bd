"""What searcher replicas read: how far the log is, what changed since, and the passages behind chunk keys."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Column, Connection, Row, Select, and_, bindparam, literal, select

from models.corpus.database import Database
from models.corpus.records import Changes, Head, TextChanges, VectorChanges
from models.corpus.schema import chunks, files, removed_chunks, store_files, vector_stores, vectors
from models.corpus.vector_stores import is_store
from models.errors import ConflictError, InvalidRequestError, NotFoundError
from models.filters import Attributes
from models.types import DEFAULT_VECTOR_STORE, FloatArray, KeyArray, Passage, Scope, indexed_text

DEFAULT_CHANGES_LIMIT = 4096  # rows of a page: 6 MB of 384-d vectors

_Store = tuple[str, str]  # tenant, vector_store_id

# Built once: SQLAlchemy then compiles it once, and the driver keeps it prepared.
_PASSAGES = (
    select(
        chunks.c.chunk_key,
        chunks.c.chunk_id,
        chunks.c.file_id,
        files.c.filename,
        chunks.c.text,
        chunks.c.start_char,
        chunks.c.end_char,
        chunks.c.context,
        store_files.c.attributes,
    )
    .join(store_files, store_files.c.store_file_key == chunks.c.file_key)
    .join(files, and_(files.c.tenant == chunks.c.tenant, files.c.file_id == chunks.c.file_id))
    .where(
        chunks.c.chunk_key.in_(bindparam("keys", expanding=True)),
        # An expression, so that no index of the store serves it: from about 50 keys on SQLite would rather walk the
        # whole store than look the keys up (20,000 chunks: 1.74 ms against 0.12).
        chunks.c.tenant.concat("") == bindparam("tenant"),
        chunks.c.vector_store_id.in_(bindparam("vector_store_ids", expanding=True)),
    )
)
_NO_HEAD = Head(0, "")
_EMPTY_LOG: Any = select(literal(0).label("seq"), literal("").label("log_id"), literal(0).label("trimmed_seq"))

# Each list alone, because SQLite scans the table for a list of pairs. The index is searched for every combination.
_HEADS = select(
    vector_stores.c.tenant, vector_stores.c.vector_store_id, vector_stores.c.seq, vector_stores.c.log_id
).where(
    vector_stores.c.tenant.in_(bindparam("tenants", expanding=True)),
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
    """Every `count`-th chunk, by key: those whose key leaves the remainder `number`."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number} of {self.count}"


@dataclass(frozen=True)
class ActiveStore:
    """A vector store and the generations that it has or builds."""

    tenant: str
    vector_store_id: str
    generations: tuple[str, ...]


@dataclass(frozen=True)
class _Log:
    """Rows with a `chunk_key`, and the column of the change that each came with."""

    rows: Select[Any]
    seq: Column[int]

    def seq_of_row(self, connection: Connection, after_seq: int, num_rows: int) -> int | None:
        """The change with which the `num_rows`-th row past `after_seq` came; None if there are fewer."""
        past = self.rows.with_only_columns(self.seq).where(self.seq > after_seq)
        return connection.scalar(past.order_by(self.seq).limit(1).offset(num_rows - 1))

    def read(self, connection: Connection, after_seq: int, up_to_seq: int) -> Sequence[Row[Any]]:
        key = self.rows.selected_columns.chunk_key
        within = self.rows.where(self.seq > after_seq, self.seq <= up_to_seq)
        return connection.execute(within.order_by(self.seq, key)).all()


@dataclass(frozen=True)
class Views:
    """The log and the chunks, as a searcher replica reads them.

    A replica remembers a sequence number for each vector store. When `heads` shows a higher one, it asks for the
    changes in between until it has them all, and only then answers.
    """

    database: Database

    def heads(self, stores: Collection[tuple[str, str]]) -> dict[tuple[str, str], Head]:
        """The head of each (tenant, vector_store_id), from one query. A store that is not there is absent.

        `default` is always there, at 0 of a log without a name until something happens in it.
        """
        heads = {store: _NO_HEAD for store in stores if store[1] == DEFAULT_VECTOR_STORE}
        wanted = frozenset(stores)
        parameters = {
            "tenants": sorted({tenant for tenant, _ in wanted}),
            "vector_store_ids": sorted({vector_store_id for _, vector_store_id in wanted}),
        }
        with self.database.reading() as connection:
            rows = connection.execute(_HEADS, parameters).all()
        return heads | {(row[0], row[1]): Head(row[2], row[3]) for row in rows if (row[0], row[1]) in wanted}

    def recent(self, limit: int) -> list[ActiveStore]:
        """The stores that changed last, of all tenants."""
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
        """What happened to the store's vectors of `generation`, or to a shard of them, since `after_seq`.

        From 0 only what lives is returned. A change is never cut in two: a page ends with the one that its
        `limit`-th addition belongs to, and removals are not limited. `started_seq` is the head that was there when
        the view read its first page: it never saw what was removed until then. Raises NotFoundError, and
        ConflictError if the log is behind `after_seq`, or has forgotten removals that the view missed: start again
        from 0.
        """
        store = (tenant, vector_store_id)
        is_ours = and_(is_store(vectors, *store), vectors.c.generation == generation)
        added = select(vectors.c.chunk_key, vectors.c.file_key, vectors.c.vector).where(is_ours)
        if shard is not None:
            added = added.where(vectors.c.chunk_key % shard.count == shard.number)
        with self.database.reading() as connection:
            log = _Log(added, vectors.c.seq)
            changes, rows = _read_changes(connection, store, log, after_seq, started_seq, limit)
        return VectorChanges(**vars(changes), vectors=_to_matrix([row.vector for row in rows]))

    def text_changes(
        self,
        tenant: str,
        vector_store_id: str,
        after_seq: int,
        limit: int = DEFAULT_CHANGES_LIMIT,
        started_seq: int = 0,
    ) -> TextChanges:
        """What happened to the store's texts since `after_seq`: see `vector_changes`."""
        store = (tenant, vector_store_id)
        added = select(chunks.c.chunk_key, chunks.c.file_key, chunks.c.context, chunks.c.text)
        added = added.where(is_store(chunks, *store))
        with self.database.reading() as connection:
            log = _Log(added, chunks.c.seq)
            changes, rows = _read_changes(connection, store, log, after_seq, started_seq, limit)
        texts = tuple(indexed_text(row.context, row.text) for row in rows)
        return TextChanges(**vars(changes), texts=texts)

    def passages(self, keys: KeyArray | list[int], scope: Scope) -> dict[int, Passage]:
        """The live chunks among `keys` that lie in `scope`; a deleted one, or another tenant's, is absent."""
        if len(keys) == 0 or not scope.vector_store_ids:
            return {}
        parameters = {
            "keys": np.asarray(keys, np.int64).tolist(),
            "tenant": scope.tenant,
            "vector_store_ids": scope.vector_store_ids,
        }
        with self.database.reading() as connection:
            rows = connection.execute(_PASSAGES, parameters).all()
        return {row[0]: Passage(*row) for row in rows}

    def vectors_of(self, keys: KeyArray | list[int], generation: str, scope: Scope) -> dict[int, FloatArray]:
        """The vector (dim,) in `generation` of each of `keys` that has one and lies in `scope`."""
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
    """One page, and the rows of `added` in it.

    The head is read first. On PostgreSQL, where each statement sees what was committed before it, a row that goes
    between two statements is then removed by a change past the head, which the view learns next time.
    """
    if limit < 1:
        raise InvalidRequestError(f"limit is {limit}; it must be at least 1", "limit")
    head = _log(connection, store)
    if after_seq > head.seq or (after_seq > 0 and max(after_seq, started_seq) < head.trimmed_seq):
        raise ConflictError(f"the view is at {after_seq}, the log at {head.seq}: start again from 0")
    up_to_seq = min(head.seq, added.seq_of_row(connection, after_seq, limit) or head.seq)
    rows = added.read(connection, after_seq, up_to_seq)
    gone = _removed_since(store, after_seq).read(connection, after_seq, up_to_seq)
    changes = Changes(
        log_id=head.log_id,
        up_to_seq=up_to_seq,
        head_seq=head.seq,
        added_keys=_column(rows, "chunk_key"),
        added_file_keys=_column(rows, "file_key"),
        removed_keys=_column(gone, "chunk_key"),
        attributes=_attributes(connection, store, after_seq, up_to_seq),
    )
    return changes, rows


def _removed_since(store: _Store, after_seq: int) -> _Log:
    """Without what came after `after_seq`: the view never saw it."""
    is_known = and_(is_store(removed_chunks, *store), removed_chunks.c.added_seq <= after_seq)
    return _Log(select(removed_chunks.c.chunk_key).where(is_known), removed_chunks.c.seq)


def _attributes(connection: Connection, store: _Store, after_seq: int, up_to_seq: int) -> dict[int, Attributes]:
    """By file key, of the files whose attributes were last set in between."""
    columns = store_files.c
    is_between = and_(columns.attributes_seq > after_seq, columns.attributes_seq <= up_to_seq)
    query = select(columns.store_file_key, columns.attributes).where(is_store(store_files, *store), is_between)
    return {row.store_file_key: row.attributes for row in connection.execute(query)}


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
