"""The SQL database: transactions that queue, and a schema that several processes may create at once."""

import fcntl
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from models.corpus.schema import SCHEMA_VERSION, metadata, schema_version
from models.corpus.upgrades import upgrade
from models.errors import ConfigError, OverloadedError

# How long a process waits for another's write. The longest one inserts a file's chunks: 10,000 take about a second.
BUSY_TIMEOUT_S = 30.0


class Database:
    """Transactions on one database, for any number of threads; other processes may have it open too."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(is_writer=True)
        # SQLite has one writer: threads queue here, fairly, instead of polling a locked file with a connection in hand.
        self._write_lock = threading.Lock() if engine.dialect.name == "sqlite" else nullcontext()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database (on PostgreSQL: one state a statement)."""
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is durable when the block ends, and has left no trace if it raises.

        Raises OverloadedError when another process has kept SQLite's write lock for all of the busy timeout.
        """
        with self._write_lock, self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()


def open_database(url: str, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Database:
    """Opens `url`, creates what it lacks and upgrades what an earlier release wrote.

    Raises ConfigError for a URL or a schema that this code cannot use.
    """
    parsed = _parse(url)
    is_sqlite = parsed.get_backend_name() == "sqlite"
    if is_sqlite:
        Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = _create_engine(parsed, busy_timeout_s)
    database = Database(engine)
    with ExitStack() as on_error:
        on_error.callback(engine.dispose)
        with _setup_lock(parsed) if is_sqlite else nullcontext():
            if is_sqlite:
                _switch_to_wal(engine)
            with database.writing() as connection:
                _create_schema(connection)
        on_error.pop_all()
    return database


def insert_for(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """The dialect's own INSERT, which has an ON CONFLICT clause; both dialects write it alike."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def insert_if_new(connection: Connection, table: Table, row: Mapping[str, str | int | None]) -> bool:
    """Whether `row` went in: False where a unique key stands already. Race-free."""
    statement = insert_for(connection, table).values(row).on_conflict_do_nothing()
    # By what comes back: of an INSERT, SQLAlchemy does not always know the row count (on PostgreSQL it is -1).
    return connection.execute(statement.returning(*table.primary_key.columns)).first() is not None


def is_storable(value: str) -> bool:
    """Whether every database takes it: PostgreSQL knows no NUL, and a lone surrogate is not UTF-8."""
    return "\0" not in value and value.encode(errors="replace").decode() == value


def lock_name(connection: Connection, name: str) -> None:
    """Until the transaction ends, other writers that lock `name` wait. On SQLite every writer waits anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError("database_url", "not a URL; use sqlite:////folder/corpus.db or postgresql://…") from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError("database_url", f"{parsed.get_backend_name()!r} is not supported; use sqlite or postgresql")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigError("database_url", "SQLite needs a file, as in sqlite:////folder/corpus.db")
    return parsed


def _create_engine(url: URL, busy_timeout_s: float) -> Engine:
    try:
        if url.get_backend_name() != "sqlite":
            return create_engine(url, pool_pre_ping=True)
        engine = create_engine(url, connect_args={"timeout": busy_timeout_s})
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError("database_url", f"the driver of {url.drivername!r} is not installed: {error}") from None
    event.listen(engine, "connect", _prepare_sqlite_connection)
    event.listen(engine, "begin", _begin_sqlite_transaction)
    return engine


def _prepare_sqlite_connection(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
    # None: the driver sends no BEGIN of its own; _begin_sqlite_transaction does.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")  # WAL's default loses the last commits with the power
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite_transaction(connection: Connection) -> None:
    """Writers take the write lock at once: a read lock that is upgraded later fails instead of waiting."""
    is_writer = connection.get_execution_options().get("is_writer", False)
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")
    except OperationalError as error:
        if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise OverloadedError("corpus") from error
        raise


@contextmanager
def _setup_lock(url: URL) -> Iterator[None]:
    """One process at a time: SQLite does not wait for its turn when the journal mode changes."""
    with open(f"{url.database}.setup-lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _switch_to_wal(engine: Engine) -> None:
    # Outside of a transaction, or SQLite refuses; it stays with the file.
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def _create_schema(connection: Connection) -> None:
    lock_name(connection, "ragserve schema")
    if not inspect(connection).has_table(schema_version.name):
        metadata.create_all(connection)
        connection.execute(insert(schema_version).values(version=SCHEMA_VERSION))
    found = connection.execute(select(schema_version.c.version)).scalar_one()
    if found < SCHEMA_VERSION:
        found = upgrade(connection, found)
        connection.execute(update(schema_version).values(version=found))
    if found != SCHEMA_VERSION:
        raise ConfigError(
            "database_url",
            f"the database has schema version {found}, this code has {SCHEMA_VERSION}; run the release that wrote it",
        )
