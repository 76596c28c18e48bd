"""Write chunks and their vectors, inside a caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import ColumnElement, Connection, Table, and_, delete, insert, literal, select

from models.corpus.ids import stable_id
from models.corpus.records import AttachmentId
from models.corpus.schema import chunks, removed_chunks, token_vectors, vectors
from models.errors.requests import InvalidRequestError
from models.types.arrays import FloatArray
from models.types.chunks import Chunk

ChunkRow = dict[str, str | int | None]


def is_attachment(table: Table, attachment: AttachmentId) -> ColumnElement[bool]:
    return and_(
        table.c.tenant == attachment.tenant,
        table.c.vector_store_id == attachment.vector_store_id,
        table.c.file_id == attachment.file_id,
    )


def build_chunk_rows(attachment: AttachmentId, version: int, file_chunks: Sequence[Chunk]) -> list[ChunkRow]:
    """Build the rows without file key and sequence number, so that the hashing happens before any lock is taken.

    Raises InvalidRequestError if two chunks have the same place in the file.
    """
    file_version = (attachment.tenant, attachment.vector_store_id, attachment.file_id, version)
    rows: list[ChunkRow] = [
        {
            "tenant": attachment.tenant,
            "vector_store_id": attachment.vector_store_id,
            "file_id": attachment.file_id,
            "chunk_id": stable_id("chunk_", *file_version, chunk.start, chunk.end, chunk.context),
            "start_char": chunk.start,
            "end_char": chunk.end,
            "context": chunk.context,
            "text": chunk.text,
            "num_tokens": chunk.num_tokens,
            "source_map": chunk.source_map or None,
            "shown_start": chunk.shown[0] if chunk.shown else None,
            "shown_end": chunk.shown[1] if chunk.shown else None,
        }
        for chunk in file_chunks
    ]
    if len({row["chunk_id"] for row in rows}) < len(rows):
        raise InvalidRequestError(f"file {attachment.file_id} has two chunks at the same place", "chunks")
    return rows


def insert_chunks(connection: Connection, rows: list[ChunkRow], file_key: int, seq: int) -> list[int]:
    """Insert the rows and return the new chunks' keys, in the same order."""
    if not rows:
        return []
    statement = insert(chunks).returning(chunks.c.chunk_key, sort_by_parameter_order=True)
    return list(connection.scalars(statement, [row | {"file_key": file_key, "seq": seq} for row in rows]))


@dataclass(frozen=True)
class VectorRows:
    """Vectors of one vector store in one generation. Row i of `matrix` (n, dim) belongs to chunk keys[i].

    `token_codes` has the encoded token vectors of each chunk, or is empty.
    """

    tenant: str
    vector_store_id: str
    generation: str
    keys: Sequence[int]
    file_keys: Sequence[int]
    matrix: FloatArray
    token_codes: Sequence[bytes] = ()


def insert_vectors(connection: Connection, batch: VectorRows, seq: int) -> None:
    """Store the vectors, and the token vectors if there are any, as part of change `seq`."""
    if not batch.keys:
        return
    common = {
        "generation": batch.generation,
        "tenant": batch.tenant,
        "vector_store_id": batch.vector_store_id,
        "seq": seq,
    }
    blobs = (row.tobytes() for row in np.ascontiguousarray(batch.matrix, dtype="<f4"))
    rows = [
        common | {"chunk_key": key, "file_key": file_key, "vector": blob}
        for key, file_key, blob in zip(batch.keys, batch.file_keys, blobs, strict=True)
    ]
    connection.execute(insert(vectors), rows)
    if batch.token_codes:
        codes = zip(batch.keys, batch.token_codes, strict=True)
        connection.execute(insert(token_vectors), [common | {"chunk_key": key, "codes": blob} for key, blob in codes])


def remove_chunks(connection: Connection, attachment: AttachmentId, seq: int) -> None:
    """Delete the chunks, and record in the log that change `seq` removed them."""
    columns = ["tenant", "vector_store_id", "seq", "chunk_key", "added_seq"]
    removed = select(
        chunks.c.tenant, chunks.c.vector_store_id, literal(seq), chunks.c.chunk_key, chunks.c.seq.label("added_seq")
    ).where(is_attachment(chunks, attachment))
    connection.execute(insert(removed_chunks).from_select(columns, removed))
    connection.execute(delete(chunks).where(is_attachment(chunks, attachment)))
