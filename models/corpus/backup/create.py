"""`ragserve backup`: copy a corpus as of one moment, while others write to it."""

import shutil
import sqlite3
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, Engine, create_engine, func, insert, select, text
from sqlalchemy.exc import DBAPIError

from models.corpus.backup.blob_files import place
from models.corpus.backup.keys import sequence_values, set_sqlite_sequences
from models.corpus.backup.manifest import (
    DATABASE,
    FILES,
    FORMAT_VERSION,
    MANIFEST,
    UNFINISHED,
    Manifest,
    Progress,
    blob_bytes_in,
    digests_in,
    fsync,
    ignore_progress,
    rows_in,
    sha256_of,
    typed_errors,
)
from models.corpus.blobs import BlobStore, FolderBlobStore
from models.corpus.columns import metadata
from models.corpus.database import Database, allow_long_statements
from models.corpus.file_versions import used_digests
from models.corpus.remote_blobs import open_blobs
from models.corpus.schema import SCHEMA_VERSION, files
from models.errors.configuration import ConfigError
from models.errors.requests import ConflictError

MAX_ATTEMPTS = 20
PAGES_A_STEP = 4_096  # of SQLite: 16 MB between two reports of progress
ROWS_A_STEP = 2_000
DISK = "the disk of backups"


def create_backup(
    database: Database,
    blob_root: str | Path,
    destination: Path,
    previous: Path | None = None,
    progress: Progress = ignore_progress,
) -> Manifest:
    """Copy every table as of one moment, and every uploaded file that the tables name. Writers do not wait.

    `blob_root` is the folder or the URL of the uploaded files. Those of a URL are downloaded.
    The folder gets its name when it is complete and on disk. A killed process leaves at most a folder
    `<name>.unfinished-…`. Files of `previous`, an older backup, are linked instead of copied. Raises ConflictError if
    `destination` exists, ConfigError for a disk that is full or cannot be read.
    """
    _check_destination(destination)
    unfinished = destination.with_name(f"{destination.name}{UNFINISHED}{uuid.uuid4().hex}")
    sources = [open_blobs(blob_root)]
    if previous is not None:
        sources.insert(0, FolderBlobStore(previous / FILES, create=False))
    try:
        with typed_errors(destination):
            if previous is not None:
                Manifest.read(previous)
            unfinished.mkdir(mode=0o700, parents=True)
            copied = FolderBlobStore(unfinished / FILES, disk=DISK)
            snapshot = copy_corpus(database, sources, copied, unfinished / DATABASE, progress)
            for unused in copied.digests() - set(snapshot.digests):
                copied.delete(unused)
            manifest = describe(unfinished / DATABASE, snapshot)
            _write_manifest(unfinished, manifest)
            unfinished.rename(destination)
            fsync(destination.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return manifest


def _check_destination(destination: Path) -> None:
    if destination.exists() or destination.is_symlink():
        raise ConflictError(f"{destination} exists; choose a new folder")


@dataclass(frozen=True)
class Snapshot:
    """The tables as of one moment, and the digests of the uploaded files that they name."""

    as_of: datetime
    digests: list[str]


def copy_corpus(
    database: Database, sources: Sequence[BlobStore], copied: BlobStore, tables: Path, progress: Progress
) -> Snapshot:
    """Copy tables and files that match, although a file may be deleted between the two copies.

    Each attempt keeps the files that it copied, so the next one only copies newer files. An attempt fails only if a
    newer file is deleted before it is copied. `copied` may have more files than the tables name.
    """
    place(_live_digests(database), sources, copied, progress)
    for _ in range(MAX_ATTEMPTS):
        as_of = datetime.now(UTC)  # what is committed later may be missing
        _copy_tables(database, tables, progress)
        digests = digests_in(tables)
        if not place(digests, sources, copied, progress):
            return Snapshot(as_of, digests)
    raise ConflictError(f"files were deleted faster than they were copied, in {MAX_ATTEMPTS} attempts; try again")


def _live_digests(database: Database) -> list[str]:
    with database.reading() as connection:
        return used_digests(connection)


def _copy_tables(database: Database, target: Path, progress: Progress) -> None:
    target.unlink(missing_ok=True)
    with database.reading() as connection:
        if connection.dialect.name == "sqlite":
            _copy_sqlite(connection, target, progress)
        else:
            _copy_rows(connection, target, progress)
    fsync(target)


def _copy_sqlite(connection: Connection, target: Path, progress: Progress) -> None:
    # The first read fixes the transaction's snapshot. Without it, the copy would start again with every write.
    connection.execute(select(func.count()).select_from(files))
    source = cast(sqlite3.Connection, connection.connection.driver_connection)

    def report(_: int, num_left: int, num_pages: int) -> None:
        progress("tables", num_pages - num_left, num_pages)

    with closing(sqlite3.connect(target)) as copy:
        source.backup(copy, pages=PAGES_A_STEP, progress=report)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, readable on a read-only disk
        _refuse_damage(copy)


def _refuse_damage(copy: sqlite3.Connection) -> None:
    """Raise ConfigError for damaged tables: the pages are copied as they are, and older backups would go for it."""
    (finding,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if finding != "ok":
        raise ConfigError("the database", f"is damaged, so no backup of it is made: {finding}")


def _copy_rows(connection: Connection, target: Path, progress: Progress) -> None:
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    allow_long_statements(connection)
    engine = create_engine(f"sqlite:///{target}")
    try:
        metadata.create_all(engine)
        _insert_rows(connection, engine, progress)
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise error.orig from error  # of the copy: it says nothing of the database that is read
        raise
    finally:
        engine.dispose()


def _insert_rows(connection: Connection, engine: Engine, progress: Progress) -> None:
    streaming = connection.execution_options(yield_per=ROWS_A_STEP)
    counts = [connection.scalar(select(func.count()).select_from(table)) or 0 for table in metadata.sorted_tables]
    num_done = 0
    with engine.begin() as copy:
        for table in metadata.sorted_tables:
            for rows in streaming.execute(select(table)).mappings().partitions():
                copy.execute(insert(table), [dict(row) for row in rows])
                num_done += len(rows)
                progress("tables", num_done, sum(counts))
        set_sqlite_sequences(copy, sequence_values(connection))


def describe(tables: Path, snapshot: Snapshot) -> Manifest:
    """The manifest of a backup with these tables."""
    return Manifest(
        format_version=FORMAT_VERSION,
        schema_version=SCHEMA_VERSION,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        as_of=snapshot.as_of.isoformat(timespec="milliseconds"),
        database_sha256=sha256_of(tables),
        rows=rows_in(tables),
        num_blobs=len(snapshot.digests),
        blob_bytes=blob_bytes_in(tables),
    )


def _write_manifest(backup: Path, manifest: Manifest) -> None:
    (backup / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    fsync(backup / MANIFEST)
    fsync(backup)
