"""Chunks and their vectors, inside a caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import ColumnElement, Connection, Table, and_, delete, insert, literal, select

from models.corpus.ids import stable_id
from models.corpus.records import AttachmentId
from models.corpus.schema import chunks, removed_chunks, vectors
from models.errors import InvalidRequestError
from models.types import Chunk, FloatArray

ChunkRow = dict[str, str | int]


def is_attachment(table: Table, attachment: AttachmentId) -> ColumnElement[bool]:
    return and_(
        table.c.tenant == attachment.tenant,
        table.c.vector_store_id == attachment.vector_store_id,
        table.c.file_id == attachment.file_id,
    )


def build_chunk_rows(attachment: AttachmentId, version: int, pieces: Sequence[Chunk]) -> list[ChunkRow]:
    """Rows without file key and sequence number, so that the hashing is done before any lock is held.

    Raises InvalidRequestError if two pieces are the same place of the file.
    """
    owner = (attachment.tenant, attachment.vector_store_id, attachment.file_id, version)
    rows: list[ChunkRow] = [
        {
            "tenant": attachment.tenant,
            "vector_store_id": attachment.vector_store_id,
            "file_id": attachment.file_id,
            "chunk_id": stable_id("chunk_", *owner, piece.start, piece.end, piece.context),
            "start_char": piece.start,
            "end_char": piece.end,
            "context": piece.context,
            "text": piece.text,
            "num_tokens": piece.num_tokens,
        }
        for piece in pieces
    ]
    if len({row["chunk_id"] for row in rows}) < len(rows):
        raise InvalidRequestError(f"file {attachment.file_id} has two chunks at the same place", "chunks")
    return rows


def insert_chunks(connection: Connection, rows: list[ChunkRow], file_key: int, seq: int) -> list[int]:
    """The new chunks' keys, in the order of `rows`."""
    if not rows:
        return []
    statement = insert(chunks).returning(chunks.c.chunk_key, sort_by_parameter_order=True)
    return list(connection.scalars(statement, [row | {"file_key": file_key, "seq": seq} for row in rows]))


@dataclass(frozen=True)
class VectorRows:
    """Vectors of one vector store in one generation: row i of `matrix` (n, dim) belongs to chunk keys[i]."""

    tenant: str
    vector_store_id: str
    generation: str
    keys: Sequence[int]
    file_keys: Sequence[int]
    matrix: FloatArray


def insert_vectors(connection: Connection, new: VectorRows, seq: int) -> None:
    """Stores the vectors as having come with change `seq`."""
    if not new.keys:
        return
    common = {
        "generation": new.generation,
        "tenant": new.tenant,
        "vector_store_id": new.vector_store_id,
        "seq": seq,
    }
    blobs = (row.tobytes() for row in np.ascontiguousarray(new.matrix, dtype="<f4"))
    rows = [
        common | {"chunk_key": key, "file_key": file_key, "vector": blob}
        for key, file_key, blob in zip(new.keys, new.file_keys, blobs, strict=True)
    ]
    connection.execute(insert(vectors), rows)


def remove_chunks(connection: Connection, attachment: AttachmentId, seq: int) -> None:
    """Forgets the chunks and notes in the log that they went with change `seq`."""
    columns = ["tenant", "vector_store_id", "seq", "chunk_key", "added_seq"]
    gone = select(
        chunks.c.tenant, chunks.c.vector_store_id, literal(seq), chunks.c.chunk_key, chunks.c.seq.label("added_seq")
    ).where(is_attachment(chunks, attachment))
    connection.execute(insert(removed_chunks).from_select(columns, gone))
    connection.execute(delete(chunks).where(is_attachment(chunks, attachment)))
