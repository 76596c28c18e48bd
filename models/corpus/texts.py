"""The extracted texts of files, and their texts without personal data. Functions run inside a caller's transaction.

The text of a version belongs to the file: it is the same in every vector store, except in those that mask personal
data. Such a store has a text of its own. The file's own text is deleted when no store searches it any more.
"""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, func, select, update

from models.corpus.chunks import is_attachment
from models.corpus.database import insert_if_new
from models.corpus.records import AttachmentId, Job
from models.corpus.schema import file_texts, masked_texts, store_files


def store_text(connection: Connection, job: Job, text: str, is_new: bool) -> None:
    """Store the text, also over an older text of this version: a newer parser may read the file better.

    Delete the texts of versions that no store searches any more.
    """
    if job.options.masked:
        _store_masked(connection, job.attachment, text)
        return
    if not is_new:
        connection.execute(delete(masked_texts).where(is_attachment(masked_texts, job.attachment)))
    columns = file_texts.c
    is_same_file = and_(columns.tenant == job.tenant, columns.file_id == job.file_id)
    key: dict[str, str | int] = {"tenant": job.tenant, "file_id": job.file_id, "version": job.version}
    if not insert_if_new(connection, file_texts, key | {"text": text}):
        is_same = and_(is_same_file, columns.version == job.version, columns.text != text)
        connection.execute(update(file_texts).where(is_same).values(text=text))
    if is_new and job.version == 1:
        return  # there is no older text
    oldest = select(func.min(store_files.c.version)).where(_is_searched(job.attachment)).scalar_subquery()
    connection.execute(delete(file_texts).where(is_same_file, columns.version < oldest))


def read_text(connection: Connection, tenant: str, file_id: str, vector_store_id: str | None) -> str | None:
    """The text that a store searches. Without a store: that without personal data, if any store masks them in the file.

    None if no version of the file is ingested.
    """
    query: Select[Any] = select(masked_texts.c.text)
    if vector_store_id is not None:
        query = query.where(is_attachment(masked_texts, AttachmentId(tenant, vector_store_id, file_id)))
    else:
        is_store_file = and_(*(masked_texts.c[name] == store_files.c[name] for name in _ATTACHMENT))
        query = query.join(store_files, is_store_file).order_by(store_files.c.version.desc())
        query = query.where(masked_texts.c.tenant == tenant, masked_texts.c.file_id == file_id)
    text = connection.scalar(query.limit(1))
    return _read_own(connection, tenant, file_id, vector_store_id) if text is None else text


_ATTACHMENT = ("tenant", "vector_store_id", "file_id")


def _read_own(connection: Connection, tenant: str, file_id: str, vector_store_id: str | None) -> str | None:
    query = select(file_texts.c.text).where(file_texts.c.tenant == tenant, file_texts.c.file_id == file_id)
    if vector_store_id is not None:
        attachment = AttachmentId(tenant, vector_store_id, file_id)
        version = select(store_files.c.version).where(is_attachment(store_files, attachment)).scalar_subquery()
        query = query.where(file_texts.c.version == version)
    return connection.scalar(query.order_by(file_texts.c.version.desc()).limit(1))


def _store_masked(connection: Connection, attachment: AttachmentId, text: str) -> None:
    """Store the text of one store, and delete the file's own text unless another store searches it."""
    if not insert_if_new(connection, masked_texts, vars(attachment) | {"text": text}):
        is_same = is_attachment(masked_texts, attachment)
        connection.execute(update(masked_texts).where(is_same).values(text=text))
    has_masks = exists().where(*(masked_texts.c[name] == store_files.c[name] for name in _ATTACHMENT))
    is_needed = exists().where(_is_searched(attachment), ~has_masks)
    columns = file_texts.c
    is_same_file = and_(columns.tenant == attachment.tenant, columns.file_id == attachment.file_id)
    connection.execute(delete(file_texts).where(is_same_file, ~is_needed))


def _is_searched(attachment: AttachmentId) -> ColumnElement[bool]:
    """Whether a row is of a store that searches a version of the file."""
    columns = store_files.c
    return and_(columns.tenant == attachment.tenant, columns.file_id == attachment.file_id, columns.version > 0)
