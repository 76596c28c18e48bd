"""`ragserve restore`: replace a corpus by a backup in one transaction, while others search it.

Files are copied first, then the rows that name them are replaced, then unused files are deleted. A kill in between
leaves the old corpus or the new one, and at most some unused files, which the next restore deletes.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Table, bindparam, delete, func, select, text, update

from models.corpus.backup.blob_files import check, place
from models.corpus.backup.keys import KEY_COLUMNS, sequence_values, set_sequences
from models.corpus.backup.manifest import (
    DATABASE,
    FILES,
    Manifest,
    Progress,
    digests_in,
    ignore_progress,
    open_tables,
    typed_errors,
)
from models.corpus.blobs import BlobStore, FolderBlobStore
from models.corpus.columns import metadata
from models.corpus.conversation_schema import conversations, responses
from models.corpus.database import Database, allow_long_statements, lock_name
from models.corpus.file_versions import is_used, used_digests
from models.corpus.ids import random_id
from models.corpus.memory_schema import user_facts
from models.corpus.quality_schema import feedback
from models.corpus.remote_blobs import open_blobs
from models.corpus.schema import (
    chunks,
    event_sinks,
    files,
    jobs,
    leases,
    outbox,
    removed_chunks,
    schema_version,
    vector_stores,
    view_positions,
)
from models.errors.configuration import ConfigError
from models.errors.requests import ConflictError
from models.types.scope import DEFAULT_VECTOR_STORE

SQLITE_CACHE_KIB = 256 * 1024  # the indexes are written in random order: the default of 2 MB would thrash
DIGESTS_A_STEP = 500
# removed_chunks: a view needs removals if it has read part of the log. No view has read the new log.
# view_positions: each names a log of the replaced corpus that is gone, which tells a view to clear its rows.
# leases: they belong to running replicas. A restore brings no lease back and takes none from a replica that is writing.
# event_sinks, outbox: they belong to the running service. Events of the replaced corpus are still delivered.
UNRESTORED = (schema_version, removed_chunks, view_positions, leases, event_sinks, outbox)
UNTOUCHED = (schema_version, view_positions, leases, event_sinks, outbox)
# The order in which every writer locks.
LOCK_ORDER = ("files", "vector_stores", "jobs", "store_files", "conversations", "conversation_items", "responses")


def _do_nothing(connection: Connection) -> None: ...


def restore_backup(
    database: Database,
    blob_root: str | Path,
    backup: Path,
    replace: bool = False,
    progress: Progress = ignore_progress,
    before_commit: Callable[[Connection], None] = _do_nothing,
) -> Manifest:
    """Replace the whole corpus by the backup. Readers see the old corpus, then the new one, and no mixture.

    `blob_root` is the folder or the URL of the corpus' uploaded files. `before_commit` reads the new corpus last of all
    in its transaction.
    Every vector store gets a new log, so that views start again. Jobs lose their leases. Raises ConflictError if the
    corpus is not empty and `replace` is False. Raises ConfigError for a backup that is damaged or of another version,
    and for a full disk. Then the corpus has not changed.
    """
    manifest = Manifest.read(backup)
    with database.reading() as connection:
        check_replaceable(connection, replace)
    with typed_errors(backup):
        manifest.check(backup)
        digests = digests_in(backup / DATABASE)
        check(digests, backup / FILES, progress)
    with typed_errors(Path(blob_root)):
        blobs = _Blobs(database, FolderBlobStore(backup / FILES, create=False), open_blobs(blob_root), digests)
        blobs.place(progress)
        with database.writing() as connection:
            allow_long_statements(connection)
            _lock_tables(connection)
            check_replaceable(connection, replace)
            _replace_rows(connection, backup / DATABASE, progress)
            # A blob that existed before may be gone: its last file in the old corpus was deleted meanwhile.
            blobs.place(progress)
            before_commit(connection)
        blobs.settle(progress)
        blobs.sweep(progress)
        _shorten_log(database)
    return manifest


@dataclass(frozen=True)
class _Blobs:
    """Copies the uploaded files of a backup into a corpus."""

    database: Database
    source: FolderBlobStore
    target: BlobStore
    digests: list[str]

    def place(self, progress: Progress) -> None:
        if missing := place(self.digests, [self.source], self.target, progress):
            raise ConfigError(str(self.source.root), f"changed while it was read: {missing[0]} is missing")

    def settle(self, progress: Progress) -> None:
        """Copy blobs again after the commit: a writer that saw no row for a blob just before may delete it.

        Taking each blob's lock waits for such writers.
        """
        for start in range(0, len(self.digests), DIGESTS_A_STEP):
            step = self.digests[start : start + DIGESTS_A_STEP]
            with self.database.writing() as connection:
                for digest in step:
                    lock_name(connection, digest)
            place(step, [self.source], self.target, progress)

    def sweep(self, progress: Progress) -> None:
        """Delete unused blobs. A concurrent upload of the same content notices and puts it again (Files.add)."""
        with self.database.reading() as connection:
            used = set(used_digests(connection))
        unused = sorted(self.target.digests() - used)
        for num_done, digest in enumerate(unused, 1):
            with self.database.writing() as connection:
                lock_name(connection, digest)
                if not is_used(connection, digest):
                    self.target.delete(digest)
            progress("removing old files", num_done, len(unused))


def check_replaceable(connection: Connection, replace: bool = False) -> None:
    """Raise ConflictError if a corpus that is not empty would be replaced without `replace`."""
    if replace:
        return
    is_named = vector_stores.c.vector_store_id != DEFAULT_VECTOR_STORE
    num_files = _count(connection, files)
    num_stores = connection.scalar(select(func.count()).select_from(vector_stores).where(is_named))
    num_responses, num_conversations = _count(connection, responses), _count(connection, conversations)
    num_facts, num_judgements = _count(connection, user_facts), _count(connection, feedback)
    if num_files or num_stores or num_responses or num_conversations or num_facts or num_judgements:
        raise ConflictError(
            f"the corpus is not empty: {num_files} files, {num_stores} vector stores besides `default`, "
            f"{_count(connection, chunks)} chunks, {num_responses} responses, {num_conversations} conversations, "
            f"{num_facts} facts about users and {num_judgements} pieces of feedback would be lost; "
            "add --yes to replace them"
        )


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _lock_tables(connection: Connection) -> None:
    """Lock out writers, but not readers. On SQLite the transaction does that itself."""
    if connection.dialect.name != "sqlite":
        names = [*LOCK_ORDER, *sorted(metadata.tables.keys() - set(LOCK_ORDER))]
        connection.execute(text(f"LOCK TABLE {', '.join(names)} IN EXCLUSIVE MODE"))


def _replace_rows(connection: Connection, tables: Path, progress: Progress) -> None:
    highest_keys = sequence_values(connection)
    offset = max(highest_keys.values(), default=0)
    for table in reversed(metadata.sorted_tables):
        if table not in UNTOUCHED:
            connection.execute(delete(table))
    with open_tables(tables) as backup:
        restored = dict(backup.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
        if connection.dialect.name == "sqlite":
            _insert_on_sqlite(connection, tables, _restored_tables(backup), offset, progress)
        else:
            _copy_to_postgresql(connection, backup, _restored_tables(backup), offset, progress)
    set_sequences(connection, {name: offset + restored.get(name, 0) for name in highest_keys.keys() | restored.keys()})
    _reset_leases_and_logs(connection)


@dataclass(frozen=True)
class _RestoredTable:
    """A table and those of its columns that the backup has. The others get their defaults."""

    name: str
    columns: list[str]

    @property
    def column_list(self) -> str:
        return ", ".join(f'"{name}"' for name in self.columns)

    def expressions(self, offset: int) -> str:
        """The columns' values in the backup, with raised keys."""
        return ", ".join(f'"{name}" + {offset}' if name in KEY_COLUMNS else f'"{name}"' for name in self.columns)


def _restored_tables(backup: sqlite3.Connection) -> list[_RestoredTable]:
    """List the tables to restore. A table comes before the tables that refer to it.

    A backup of an earlier schema lacks tables and columns.
    """
    tables = []
    for table in metadata.sorted_tables:
        names = {row[1] for row in backup.execute(f'PRAGMA table_info("{table.name}")')}
        if names and table not in UNRESTORED:
            columns = [column.name for column in table.columns if column.name in names]
            tables.append(_RestoredTable(table.name, columns))
    return tables


def _insert_on_sqlite(
    connection: Connection, file: Path, tables: list[_RestoredTable], offset: int, progress: Progress
) -> None:
    connection.detach()  # the pool cannot reuse a connection with an attached file; it is closed at the end
    connection.exec_driver_sql(f"PRAGMA cache_size=-{SQLITE_CACHE_KIB}")
    connection.exec_driver_sql("ATTACH DATABASE ? AS backup", (str(file),))
    for number, table in enumerate(tables, 1):
        query = f'SELECT {table.expressions(offset)} FROM backup."{table.name}"'
        connection.exec_driver_sql(f'INSERT INTO main."{table.name}" ({table.column_list}) {query}')
        progress("tables", number, len(tables))


def _copy_to_postgresql(
    connection: Connection, backup: sqlite3.Connection, tables: list[_RestoredTable], offset: int, progress: Progress
) -> None:
    # COPY reads SQLite's values unchanged: JSON as text, 0 and 1 for a boolean.
    driver = cast(Any, connection.connection.driver_connection)
    if not hasattr(driver.cursor(), "copy"):
        raise ConfigError("database_url", "restoring needs the psycopg driver; use a URL like postgresql+psycopg://…")
    for number, table in enumerate(tables, 1):
        rows = backup.execute(f'SELECT {table.expressions(offset)} FROM "{table.name}"')
        with driver.cursor() as cursor, cursor.copy(f'COPY "{table.name}" ({table.column_list}) FROM STDIN') as copy:
            for row in rows:
                copy.write_row(row)
        progress("tables", number, len(tables))
    connection.execute(text("ANALYZE"))


def _reset_leases_and_logs(connection: Connection) -> None:
    """Clear leases and attempts, which belong to processes of the old corpus, and start new logs."""
    connection.execute(update(jobs).values(attempts=0, lease_owner=None, lease_expires_at=0.0))
    connection.execute(update(jobs).values(num_chunks=None, num_embedded=0))
    connection.execute(update(vector_stores).values(trimmed_seq=0, build_owner=None, build_lease_expires_at=0.0))
    keys = connection.scalars(select(vector_stores.c.store_key)).all()
    if keys:
        is_store = vector_stores.c.store_key == bindparam("key")
        statement = update(vector_stores).where(is_store).values(log_id=bindparam("log"))
        connection.execute(statement, [{"key": key, "log": random_id("log_")} for key in keys])


def _shorten_log(database: Database) -> None:
    """Empty SQLite's write-ahead log, which has every restored row, unless a reader still needs it."""
    with database.reading() as connection:
        if connection.dialect.name == "sqlite":
            driver = cast(sqlite3.Connection, connection.connection.driver_connection)
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # no transaction has begun on it
