"""What a vector store holds, in a form that two stores can be compared by: order and keys do not count."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from sqlalchemy import and_, select

from models.corpus.corpus import Corpus
from models.corpus.schema import chunks, files, vectors
from models.types.arrays import FloatArray

ChunkPlace = tuple[str, int, int, str, str]  # file name, start, end, context, text


@dataclass(frozen=True)
class Fingerprint:
    """The chunks of a store with their vectors, and the names of its files."""

    filenames: frozenset[str]
    vectors: Mapping[ChunkPlace, FloatArray]

    @property
    def texts_sha256(self) -> str:
        """Independent of the order of the chunks."""
        return _combined(repr(place).encode() for place in self.vectors)

    @property
    def vectors_sha256(self) -> str:
        """As above, over every bit of every vector beside its chunk."""
        return _combined(repr(place).encode() + vector.tobytes() for place, vector in self.vectors.items())


def fingerprint(corpus: Corpus, tenant: str, vector_store_id: str) -> Fingerprint:
    """Read a whole store. Takes its texts and vectors into memory."""
    is_file = and_(files.c.tenant == chunks.c.tenant, files.c.file_id == chunks.c.file_id)
    columns = (chunks.c.start_char, chunks.c.end_char, chunks.c.context, chunks.c.text, vectors.c.vector)
    is_vector = vectors.c.chunk_key == chunks.c.chunk_key
    query = select(files.c.filename, *columns).select_from(chunks).join(files, is_file).join(vectors, is_vector)
    query = query.where(chunks.c.tenant == tenant, chunks.c.vector_store_id == vector_store_id)
    with corpus.database.reading() as connection:
        rows = connection.execute(query).all()
    by_place = {tuple(row[:5]): np.frombuffer(row[5], "<f4") for row in rows}
    if len(by_place) < len(rows):
        raise AssertionError(f"{len(rows) - len(by_place)} chunks are stored twice")
    return Fingerprint(frozenset(row[0] for row in rows), by_place)


def largest_difference(first: Fingerprint, second: Fingerprint) -> float:
    """Between two numbers of vectors of equal chunks."""
    pairs = ((vector, second.vectors[place]) for place, vector in first.vectors.items() if place in second.vectors)
    return max((float(np.abs(a - b).max()) for a, b in pairs), default=0.0)


def _combined(items: Iterable[bytes]) -> str:
    """The sum of the items' hashes: the same in any order, and a repeated item counts."""
    total = sum(int.from_bytes(hashlib.sha256(item).digest()) for item in items)
    return f"{total % 2**256:064x}"
