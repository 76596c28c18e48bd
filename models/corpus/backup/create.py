"""`ragserve backup`: a copy of a corpus as of one moment, while others write to it."""

import shutil
import sqlite3
import uuid
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, Engine, create_engine, func, insert, select, text

from models.corpus.backup.blob_files import blob_path, list_digests, place
from models.corpus.backup.keys import sequence_values, set_sqlite_sequences
from models.corpus.backup.manifest import (
    DATABASE,
    FILES,
    FORMAT_VERSION,
    MANIFEST,
    Manifest,
    Progress,
    digests_in,
    fsync,
    ignore_progress,
    rows_in,
    sha256_of,
    typed_errors,
)
from models.corpus.database import Database
from models.corpus.schema import SCHEMA_VERSION, files, metadata
from models.errors import ConflictError

MAX_ATTEMPTS = 20
PAGES_A_STEP = 4_096  # 16 MB of SQLite's pages between two reports of progress
ROWS_A_STEP = 2_000


def create_backup(
    database: Database,
    blob_root: Path,
    destination: Path,
    previous: Path | None = None,
    progress: Progress = ignore_progress,
) -> Manifest:
    """Copies every table as of one moment and every uploaded file they name. Writers are not held up.

    The folder has its name only once it is complete and on disk; a kill leaves at most one called
    `<name>.unfinished-…`. Files that `previous`, an older backup, has are linked to it instead of copied.
    Raises ConflictError if `destination` exists, ConfigError for a disk that is full or cannot be read.
    """
    _check_destination(destination)
    unfinished = destination.with_name(f"{destination.name}.unfinished-{uuid.uuid4().hex}")
    sources = [blob_root] if previous is None else [previous / FILES, blob_root]
    try:
        with typed_errors(destination):
            if previous is not None:
                Manifest.read(previous)
            (unfinished / FILES).mkdir(parents=True)
            _copy_corpus(database, sources, unfinished, progress)
            manifest = _describe(unfinished)
            _write_manifest(unfinished, manifest)
            unfinished.rename(destination)
            fsync(destination.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return manifest


def _check_destination(destination: Path) -> None:
    if destination.exists() or destination.is_symlink():
        raise ConflictError(f"{destination} exists; name a new folder")


def _copy_corpus(database: Database, sources: Sequence[Path], target: Path, progress: Progress) -> None:
    """Tables and files that belong together, although a file may be deleted between the two.

    Each attempt keeps the files that it got, so that the next has only those to copy that came meanwhile: it fails
    only if one of these is deleted again before it is copied.
    """
    place(_live_digests(database), sources, target / FILES, progress)
    for _ in range(MAX_ATTEMPTS):
        _copy_tables(database, target / DATABASE, progress)
        digests = digests_in(target / DATABASE)
        if not place(digests, sources, target / FILES, progress):
            for unnamed in list_digests(target / FILES) - set(digests):
                blob_path(target / FILES, unnamed).unlink()
            return
    raise ConflictError(f"files are deleted more quickly than they can be copied, {MAX_ATTEMPTS} times; try again")


def _live_digests(database: Database) -> list[str]:
    with database.reading() as connection:
        return sorted(connection.scalars(select(files.c.digest).distinct()))


def _copy_tables(database: Database, target: Path, progress: Progress) -> None:
    target.unlink(missing_ok=True)
    with database.reading() as connection:
        if connection.dialect.name == "sqlite":
            _copy_sqlite(connection, target, progress)
        else:
            _copy_rows(connection, target, progress)
    fsync(target)


def _copy_sqlite(connection: Connection, target: Path, progress: Progress) -> None:
    # The transaction's first read fixes what it sees; without it the copy would start again with every write.
    connection.execute(select(func.count()).select_from(files))
    source = cast(sqlite3.Connection, connection.connection.driver_connection)

    def report(_: int, num_left: int, num_pages: int) -> None:
        progress("tables", num_pages - num_left, num_pages)

    with closing(sqlite3.connect(target)) as copy:
        source.backup(copy, pages=PAGES_A_STEP, progress=report)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, which can be read where nothing can be written


def _copy_rows(connection: Connection, target: Path, progress: Progress) -> None:
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    engine = create_engine(f"sqlite:///{target}")
    try:
        metadata.create_all(engine)
        _insert_rows(connection, engine, progress)
    finally:
        engine.dispose()


def _insert_rows(connection: Connection, engine: Engine, progress: Progress) -> None:
    streaming = connection.execution_options(yield_per=ROWS_A_STEP)
    with engine.begin() as copy:
        for table in metadata.sorted_tables:
            total, done = connection.execute(select(func.count()).select_from(table)).scalar_one(), 0
            for rows in streaming.execute(select(table)).mappings().partitions():
                copy.execute(insert(table), [dict(row) for row in rows])
                done += len(rows)
                progress(table.name, done, total)
        set_sqlite_sequences(copy, sequence_values(connection))


def _describe(backup: Path) -> Manifest:
    digests = digests_in(backup / DATABASE)
    return Manifest(
        format_version=FORMAT_VERSION,
        schema_version=SCHEMA_VERSION,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        database_sha256=sha256_of(backup / DATABASE),
        rows=rows_in(backup / DATABASE),
        num_blobs=len(digests),
        blob_bytes=sum(blob_path(backup / FILES, digest).stat().st_size for digest in digests),
    )


def _write_manifest(backup: Path, manifest: Manifest) -> None:
    (backup / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    fsync(backup / MANIFEST)
    fsync(backup)
