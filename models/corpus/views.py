"""What searcher replicas read: how far the log is, what changed since, and the passages behind chunk keys."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Column, Connection, Row, Select, and_, bindparam, select

from models.corpus.database import Database
from models.corpus.records import Changes, TextChanges, VectorChanges
from models.corpus.schema import chunks, files, removed_chunks, vector_stores, vectors
from models.corpus.vector_stores import is_store
from models.errors import ConflictError, InvalidRequestError, NotFoundError
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
    )
    .join(files, and_(files.c.tenant == chunks.c.tenant, files.c.file_id == chunks.c.file_id))
    .where(
        chunks.c.chunk_key.in_(bindparam("keys", expanding=True)),
        # An expression, so that no index of the store serves it: from about 50 keys on SQLite would rather walk the
        # whole store than look the keys up (20,000 chunks: 1.74 ms against 0.12).
        chunks.c.tenant.concat("") == bindparam("tenant"),
        chunks.c.vector_store_id.in_(bindparam("vector_store_ids", expanding=True)),
    )
)
# Each list alone, because SQLite scans the table for a list of pairs. The index is searched for every combination.
_HEADS = select(vector_stores.c.tenant, vector_stores.c.vector_store_id, vector_stores.c.seq).where(
    vector_stores.c.tenant.in_(bindparam("tenants", expanding=True)),
    vector_stores.c.vector_store_id.in_(bindparam("vector_store_ids", expanding=True)),
)


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

    def heads(self, stores: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """The sequence number of each (tenant, vector_store_id), from one query. A store that is not there is absent.

        `default` is always there, at 0 until something happens in it.
        """
        heads = {store: 0 for store in stores if store[1] == DEFAULT_VECTOR_STORE}
        wanted = frozenset(stores)
        parameters = {
            "tenants": sorted({tenant for tenant, _ in wanted}),
            "vector_store_ids": sorted({vector_store_id for _, vector_store_id in wanted}),
        }
        with self.database.reading() as connection:
            rows = connection.execute(_HEADS, parameters).all()
        return heads | {(row[0], row[1]): row[2] for row in rows if (row[0], row[1]) in wanted}

    def vector_changes(
        self, tenant: str, vector_store_id: str, after_seq: int, generation: str, limit: int = DEFAULT_CHANGES_LIMIT
    ) -> VectorChanges:
        """What happened to the store's vectors of `generation` since `after_seq`.

        From 0 only what lives is returned. A change is never cut in two: a page ends with the one that its
        `limit`-th addition belongs to, and removals are not limited. Raises NotFoundError, and ConflictError if
        the log is behind `after_seq`.
        """
        store = (tenant, vector_store_id)
        is_ours = and_(is_store(vectors, *store), vectors.c.generation == generation)
        added = select(vectors.c.chunk_key, vectors.c.vector).where(is_ours)
        with self.database.reading() as connection:
            changes, rows = _read_changes(connection, store, _Log(added, vectors.c.seq), after_seq, limit)
        return VectorChanges(**vars(changes), vectors=_to_matrix([row.vector for row in rows]))

    def text_changes(
        self, tenant: str, vector_store_id: str, after_seq: int, limit: int = DEFAULT_CHANGES_LIMIT
    ) -> TextChanges:
        """What happened to the store's texts since `after_seq`: see `vector_changes`."""
        store = (tenant, vector_store_id)
        added = select(chunks.c.chunk_key, chunks.c.context, chunks.c.text).where(is_store(chunks, *store))
        with self.database.reading() as connection:
            changes, rows = _read_changes(connection, store, _Log(added, chunks.c.seq), after_seq, limit)
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


def _read_changes(
    connection: Connection, store: _Store, added: _Log, after_seq: int, limit: int
) -> tuple[Changes, Sequence[Row[Any]]]:
    """One page, and the rows of `added` in it.

    The head is read first. On PostgreSQL, where each statement sees what was committed before it, a row that goes
    between two statements is then removed by a change past the head, which the view learns next time.
    """
    if limit < 1:
        raise InvalidRequestError(f"limit is {limit}; it must be at least 1", "limit")
    head_seq = _head(connection, store)
    if after_seq > head_seq:
        raise ConflictError(f"the view is at {after_seq}, the log at {head_seq}: start again from 0")
    up_to_seq = min(head_seq, added.seq_of_row(connection, after_seq, limit) or head_seq)
    rows = added.read(connection, after_seq, up_to_seq)
    gone = _removed_since(store, after_seq).read(connection, after_seq, up_to_seq)
    return Changes(up_to_seq, head_seq, _keys_of(rows), _keys_of(gone)), rows


def _removed_since(store: _Store, after_seq: int) -> _Log:
    """Without what came after `after_seq`: the view never saw it."""
    is_known = and_(is_store(removed_chunks, *store), removed_chunks.c.added_seq <= after_seq)
    return _Log(select(removed_chunks.c.chunk_key).where(is_known), removed_chunks.c.seq)


def _head(connection: Connection, store: _Store) -> int:
    head_seq = connection.scalar(select(vector_stores.c.seq).where(is_store(vector_stores, *store)))
    if head_seq is None and store[1] != DEFAULT_VECTOR_STORE:
        raise NotFoundError("vector store", store[1])
    return head_seq or 0


def _keys_of(rows: Sequence[Row[Any]]) -> KeyArray:
    return np.array([row.chunk_key for row in rows], np.int64)


def _to_matrix(blobs: list[bytes]) -> FloatArray:
    return np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), -1 if blobs else 0)
