"""A file's earlier versions. Functions run inside a caller's transaction."""

from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, select, union

from models.corpus.records import FileVersion
from models.corpus.schema import files
from models.corpus.versions_schema import file_versions
from models.errors.requests import NotFoundError

DIGESTS = union(select(files.c.digest), select(file_versions.c.digest))


def is_used(connection: Connection, digest: str) -> bool:
    """Whether a file, or an earlier version of one, has this content."""
    tables = (files, file_versions)
    return any(connection.execute(select(1).where(each.c.digest == digest).limit(1)).first() for each in tables)


def used_digests(connection: Connection) -> list[str]:
    """The digests of all content that files and their earlier versions have, sorted."""
    return sorted(connection.scalars(DIGESTS))


def keep_version(connection: Connection, row: Row[Any], now: int, number: int) -> list[str]:
    """Keep the file's version in `row` of `files`, which is being replaced, if `number` versions may be kept.

    Return the digests of the versions that are not kept any more.
    """
    names = ("tenant", "file_id", "version", "filename", "size_bytes", "digest")
    if number:
        values = {name: getattr(row, name) for name in names}
        connection.execute(insert(file_versions).values(**values, replaced_at=now))
    columns = file_versions.c
    is_excess = and_(
        columns.tenant == row.tenant, columns.file_id == row.file_id, columns.version <= row.version - number
    )
    return list(connection.scalars(delete(file_versions).where(is_excess).returning(columns.digest)))


def trim_versions(connection: Connection, number: int) -> list[str]:
    """Delete what is beyond `number` earlier versions of a file. Return their digests."""
    columns = file_versions.c
    current = select(files.c.version).where(files.c.tenant == columns.tenant, files.c.file_id == columns.file_id)
    is_excess = columns.version < current.scalar_subquery() - number
    return list(connection.scalars(delete(file_versions).where(is_excess).returning(columns.digest)))


def earlier_versions(connection: Connection, tenant: str, file_id: str) -> list[FileVersion]:
    """Newest first."""
    columns = file_versions.c
    query = select(file_versions).where(columns.tenant == tenant, columns.file_id == file_id)
    return [_to_record(row) for row in connection.execute(query.order_by(columns.version.desc()))]


def bytes_of_versions(connection: Connection, tenant: str) -> int:
    """The size of a tenant's earlier versions."""
    query = select(func.coalesce(func.sum(file_versions.c.size_bytes), 0)).where(file_versions.c.tenant == tenant)
    return int(connection.execute(query).scalar_one())


def get_version(connection: Connection, tenant: str, file_id: str, version: int) -> FileVersion:
    """Raises NotFoundError."""
    columns = file_versions.c
    is_same = and_(columns.tenant == tenant, columns.file_id == file_id, columns.version == version)
    row = connection.execute(select(file_versions).where(is_same)).first()
    if row is None:
        raise NotFoundError("earlier version", str(version))
    return _to_record(row)


def _to_record(row: Row[Any]) -> FileVersion:
    return FileVersion(row.version, row.filename, row.size_bytes, row.digest, row.replaced_at)
