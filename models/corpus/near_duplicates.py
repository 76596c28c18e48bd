"""Near-duplicates of a vector store's files, found by their sketches. Functions run inside a caller's transaction.

They are looked up when a file is described, so that a deleted or replaced file is never named. A look-up reads at most
MAX_PER_BAND files for each of the 17 bands of a file, however many files are from one template.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, union_all

from models.corpus.chunks import is_attachment
from models.corpus.records import AttachmentId, Duplicate, StoreFile
from models.corpus.schema import sketch_bands, store_files, vector_stores
from models.corpus.store_changes import to_options
from models.enrichment.sketch import bands, is_same_text, similarity

MAX_DUPLICATES = 5  # of a file, the most similar ones
MAX_PER_BAND = 20
MAX_COMPARED = 100


def write_bands(connection: Connection, attachment: AttachmentId, sketch: bytes) -> None:
    """Replace the bands of the file."""
    connection.execute(delete(sketch_bands).where(is_attachment(sketch_bands, attachment)))
    if rows := [vars(attachment) | {"band": band} for band in bands(sketch)]:
        connection.execute(insert(sketch_bands), rows)


def add_duplicates(
    connection: Connection, tenant: str, vector_store_id: str, records: Sequence[StoreFile]
) -> tuple[StoreFile, ...]:
    """Return the records with their near-duplicates, if the vector store asks for them."""
    query: Select[Any] = select(vector_stores.c.enrichment, vector_stores.c.masked_kinds)
    query = query.where(vector_stores.c.tenant == tenant, vector_stores.c.vector_store_id == vector_store_id)
    row = connection.execute(query).first()
    least = None if row is None else to_options(row).enrichment.min_similarity
    if least is None:
        return tuple(records)
    store = AttachmentId(tenant, vector_store_id, "")
    return tuple(
        replace(record, duplicates=_duplicates(connection, replace(store, file_id=record.file_id), least))
        for record in records
    )


def _duplicates(connection: Connection, attachment: AttachmentId, least: float) -> tuple[Duplicate, ...]:
    """The files with at least this similarity, the most similar first, and of equals the first attached."""
    sketch = connection.scalar(select(store_files.c.sketch).where(is_attachment(store_files, attachment)))
    if not sketch:
        return ()
    query = select(store_files.c.file_id, store_files.c.sketch).where(
        store_files.c.tenant == attachment.tenant,
        store_files.c.vector_store_id == attachment.vector_store_id,
        store_files.c.file_id.in_(_candidates(connection, attachment, sketch)),
        store_files.c.sketch.is_not(None),
    )
    rows = connection.execute(query.order_by(store_files.c.store_file_key))
    compared = (Duplicate(row[0], round(similarity(sketch, row[1]), 3), is_same_text(sketch, row[1])) for row in rows)
    similar = [duplicate for duplicate in compared if duplicate.similarity >= least]
    similar.sort(key=lambda duplicate: (-duplicate.is_exact, -duplicate.similarity))
    return tuple(similar[:MAX_DUPLICATES])


def _candidates(connection: Connection, attachment: AttachmentId, sketch: bytes) -> list[str]:
    """The files that share the most bands with the sketch."""
    columns, by_band = sketch_bands.c, []
    of_store = (columns.tenant == attachment.tenant, columns.vector_store_id == attachment.vector_store_id)
    for band in bands(sketch):
        # SQLite allows a limit in a part of a union only inside a query of its own.
        of_band = select(columns.file_id).where(*of_store, columns.band == band, columns.file_id != attachment.file_id)
        by_band.append(select(of_band.order_by(columns.file_id).limit(MAX_PER_BAND).subquery().c.file_id))
    counts = Counter(connection.scalars(union_all(*by_band)))
    return [file_id for file_id, _ in counts.most_common(MAX_COMPARED)]
