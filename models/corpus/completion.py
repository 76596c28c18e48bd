"""A parsed and embedded file, and how it is stored inside a caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, Select, delete, select, update

from models.corpus.chunks import (
    ChunkRow,
    VectorRows,
    build_chunk_rows,
    insert_chunks,
    insert_vectors,
    is_attachment,
    remove_chunks,
)
from models.corpus.database import is_storable
from models.corpus.generations import settle_generations
from models.corpus.near_duplicates import write_bands
from models.corpus.parse_report import NOTHING_REPORTED, ParseReport
from models.corpus.records import AttachmentId, Job
from models.corpus.schema import jobs, store_files
from models.corpus.texts import store_text
from models.errors.requests import InvalidRequestError
from models.filters import Attributes
from models.types.arrays import FloatArray
from models.types.chunks import Chunk


@dataclass(frozen=True)
class Completion:
    """What a job made of its file.

    `vectors` maps each generation to vectors (len(chunks), dim) float32, and `token_codes` some of them to the encoded
    token vectors of each chunk. `report` is the parser's. `derived` and `sketch` are as in ParsedFile.
    """

    job: Job
    text: str
    chunks: Sequence[Chunk]
    vectors: Mapping[str, FloatArray]
    token_codes: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    report: ParseReport = NOTHING_REPORTED
    derived: Attributes = field(default_factory=dict)
    sketch: bytes = b""


@dataclass(frozen=True)
class Prepared:
    """A checked completion with the rows of its chunks."""

    completion: Completion
    rows: list[ChunkRow]

    @property
    def job(self) -> Job:
        return self.completion.job

    def store(self, connection: Connection, seq: int) -> None:
        """Replace the file's text, chunks and status as part of change `seq`. The caller has locked the job.

        Raises MissingVectorsError before the first write.
        """
        job, completion, attachment = self.job, self.completion, self.job.attachment
        vectors = completion.vectors
        generations = settle_generations(connection, job.tenant, job.vector_store_id, list(vectors))
        store_file = _store_file(connection, attachment)
        file_key, is_new = store_file.store_file_key, not (store_file.version or store_file.usage_bytes)
        if not is_new:
            remove_chunks(connection, attachment, seq)
        keys = insert_chunks(connection, self.rows, file_key, seq)
        num_bytes = sum(len(chunk.indexed_text.encode()) for chunk in completion.chunks)
        for generation in generations:
            matrix, codes = vectors[generation], completion.token_codes.get(generation, ())
            num_bytes += matrix.nbytes + sum(map(len, codes))
            file_keys = [file_key] * len(keys)
            batch = VectorRows(job.tenant, job.vector_store_id, generation, keys, file_keys, matrix, codes)
            insert_vectors(connection, batch, seq)
        values = {"status": "completed", "usage_bytes": num_bytes} | self._version()
        if (store_file.derived or {}) != completion.derived:
            values["attributes_seq"] = seq  # filters see them as they see the caller's
        finish(connection, attachment, values)
        if completion.sketch or store_file.has_sketch:
            write_bands(connection, attachment, completion.sketch)
        store_text(connection, job, completion.text, is_new)

    def _version(self) -> dict[str, Any]:
        """What the store knows of the version that it searches from now on."""
        completion = self.completion
        derived, sketch = dict(completion.derived) or None, completion.sketch or None
        report = completion.report.to_json()
        return {"version": self.job.version, "parse_report": report, "derived": derived, "sketch": sketch}


def prepare(completion: Completion) -> Prepared:
    """Check the content, and build the rows. Raises InvalidRequestError."""
    _check_content(completion.text, len(completion.chunks), completion.vectors)
    _check_token_codes(len(completion.chunks), completion.token_codes)
    return Prepared(completion, build_chunk_rows(completion.job.attachment, completion.job.version, completion.chunks))


def finish(connection: Connection, attachment: AttachmentId, values: Mapping[str, Any]) -> None:
    """Delete the job, and set these values of the attached file."""
    connection.execute(delete(jobs).where(is_attachment(jobs, attachment)))
    connection.execute(update(store_files).where(is_attachment(store_files, attachment)).values(values))


def _check_content(text: str, num_chunks: int, vectors: Mapping[str, FloatArray]) -> None:
    for generation, matrix in vectors.items():
        if matrix.dtype != np.float32 or matrix.ndim != 2 or len(matrix) != num_chunks:
            expected = f"({num_chunks}, dim) float32"
            problem = f"vectors of {generation} are {matrix.shape} {matrix.dtype}; they must be {expected}"
            raise InvalidRequestError(problem, "vectors")
    if not is_storable(text):
        raise InvalidRequestError("the text has NUL characters or lone surrogates; remove them", "text")


def _check_token_codes(num_chunks: int, token_codes: Mapping[str, Sequence[bytes]]) -> None:
    for generation, codes in token_codes.items():
        if len(codes) != num_chunks:
            problem = f"token_codes of {generation} has {len(codes)} items for {num_chunks} chunks; give one for each"
            raise InvalidRequestError(problem, "token_codes")


def _store_file(connection: Connection, attachment: AttachmentId) -> Row[Any]:
    columns = store_files.c
    has_sketch = columns.sketch.is_not(None).label("has_sketch")
    key = (columns.store_file_key, columns.version, columns.usage_bytes)
    query: Select[Any] = select(*key, columns.derived, has_sketch)
    return connection.execute(query.where(is_attachment(store_files, attachment))).one()
