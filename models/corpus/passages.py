"""Passages by the keys of their chunks, inside a caller's transaction.

Parameters of both: `keys`, `tenant` and `vector_store_ids`. Deleted chunks and other tenants' chunks are absent.
"""

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, literal, or_, select

from models.corpus.derived import effective_attributes
from models.corpus.schema import chunks, file_texts, files, masked_texts, store_files
from models.languages.shown_names import shown_name
from models.types.chunks import Passage

ATTACHMENT = ("tenant", "vector_store_id", "file_id")
# Both are built once, so that SQLAlchemy compiles them once and the driver keeps them prepared.
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
        literal(0.0),
        func.coalesce(chunks.c.source_map, ""),
        store_files.c.derived,
        chunks.c.shown_start,
        chunks.c.shown_end,
    )
    .join(store_files, store_files.c.store_file_key == chunks.c.file_key)
    .join(files, and_(files.c.tenant == chunks.c.tenant, files.c.file_id == chunks.c.file_id))
    .where(
        chunks.c.chunk_key.in_(bindparam("keys", expanding=True)),
        # An expression, so that SQLite cannot use the store's index for it. From about 50 keys on, SQLite would scan
        # the whole store instead of looking up the keys (20,000 chunks: 1.74 ms instead of 0.12).
        chunks.c.tenant.concat("") == bindparam("tenant"),
        chunks.c.vector_store_id.in_(bindparam("vector_store_ids", expanding=True)),
    )
)
# Of the searched version of the file. SQL counts characters from 1, as code points.
_SHOWN = (
    select(
        chunks.c.chunk_key,
        func.substr(
            func.coalesce(masked_texts.c.text, file_texts.c.text),
            chunks.c.shown_start + 1,
            chunks.c.shown_end - chunks.c.shown_start,
        ),
    )
    .join(store_files, store_files.c.store_file_key == chunks.c.file_key)
    .outerjoin(masked_texts, and_(*(masked_texts.c[name] == store_files.c[name] for name in ATTACHMENT)))
    .outerjoin(
        file_texts,
        and_(
            file_texts.c.tenant == store_files.c.tenant,
            file_texts.c.file_id == store_files.c.file_id,
            file_texts.c.version == store_files.c.version,
        ),
    )
    .where(
        chunks.c.chunk_key.in_(bindparam("keys", expanding=True)),
        chunks.c.shown_start.is_not(None),
        or_(masked_texts.c.text.is_not(None), file_texts.c.text.is_not(None)),
        chunks.c.tenant.concat("") == bindparam("tenant"),
        chunks.c.vector_store_id.in_(bindparam("vector_store_ids", expanding=True)),
    )
)


def read_passages(connection: Connection, parameters: dict[str, Any]) -> dict[int, Passage]:
    passages = {}
    for row in connection.execute(_PASSAGES, parameters):
        passage = Passage(*row[:-3])
        if not row.filename.isprintable():
            passage = replace(passage, filename=shown_name(row.filename))
        if row.derived:
            passage = replace(passage, attributes=effective_attributes(row))
        if row.shown_start is not None:
            passage = replace(passage, shown=(row.shown_start, row.shown_end))
        passages[row.chunk_key] = passage
    return passages


def read_shown_texts(connection: Connection, parameters: dict[str, Any]) -> dict[int, str]:
    """What a search shows in place of each chunk, for those that show more than themselves."""
    return {row[0]: row[1] for row in connection.execute(_SHOWN, parameters)}
