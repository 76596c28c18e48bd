"""The SQL database: queued write transactions, and a schema that several processes may create at the same time."""

import fcntl
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
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
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from models.corpus import (
    access_schema,  # noqa: F401 (its tables are created with the others)
    memory_schema,  # noqa: F401 (its tables are created with the others)
    quality_schema,  # noqa: F401 (its tables are created with the others)
)
from models.corpus.schema import SCHEMA_VERSION, metadata, schema_version
from models.corpus.storage_errors import raise_typed
from models.corpus.upgrades import upgrade
from models.errors import ConfigError

# How long a process waits for another's write. The longest write inserts a file's chunks: about 1 s for 10,000.
BUSY_TIMEOUT_S = 30.0


class Database:
    """Runs transactions on one database for any number of threads. Other processes may have it open too."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(is_writer=True)
        # SQLite allows one writer. Threads queue here, in order, instead of polling a locked file.
        self._write_lock = threading.Lock() if engine.dialect.name == "sqlite" else nullcontext()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the database (on PostgreSQL: one state per statement).

        Raises DatabaseUnavailableError.
        """
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise_typed(error)
            raise

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that is durable when the block ends, and rolled back if the block raises.

        Raises OverloadedError if another process kept SQLite's write lock for the whole busy timeout, StorageFullError,
        and DatabaseUnavailableError.
        """
        try:
            with self._write_lock, self._writer.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise_typed(error)
            raise

    def close(self) -> None:
        self._engine.dispose()


def open_database(url: str, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Database:
    """Open `url`, create missing tables and upgrade the schema of an earlier release.

    Raises ConfigError for a URL or a schema that this release cannot use.
    """
    parsed = _parse(url)
    is_sqlite = parsed.get_backend_name() == "sqlite"
    if is_sqlite:
        _keep_private(Path(str(parsed.database)))
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


def _keep_private(path: Path) -> None:
    """Make the file its owner's alone, and a new folder too. SQLite gives its other files the database's mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(OSError):  # of another owner, or read-only: opening it says so
        path.touch(mode=0o600)
        path.chmod(0o600)


def check_database_url(url: str) -> None:
    """Raises ConfigError for a URL that no installed driver can open. Connects to nothing."""
    _create_engine(_parse(url), BUSY_TIMEOUT_S).dispose()


def insert_for(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """The dialect's own INSERT, which has an ON CONFLICT clause; both dialects write it alike."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def insert_if_new(connection: Connection, table: Table, row: Mapping[str, str | int | None]) -> bool:
    """Insert `row` and return True; return False if its unique key exists already. Safe against concurrent inserts."""
    statement = insert_for(connection, table).values(row).on_conflict_do_nothing()
    # RETURNING, because SQLAlchemy does not always know the row count of an INSERT (on PostgreSQL it is -1).
    return connection.execute(statement.returning(*table.primary_key.columns)).first() is not None


def is_storable(value: str) -> bool:
    """Whether every database can store the text: PostgreSQL refuses NUL, and a lone surrogate is not UTF-8."""
    return "\0" not in value and value.encode(errors="replace").decode() == value


def lock_name(connection: Connection, name: str) -> None:
    """Lock `name` until the transaction ends; other writers that lock it wait. On SQLite every writer waits anyway."""
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
    # None: the driver sends no BEGIN. _begin_sqlite_transaction does.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")  # with WAL's default, a power cut loses the last commits
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite_transaction(connection: Connection) -> None:
    """Take the write lock at the start of a write: SQLite fails a later upgrade of a read lock instead of waiting."""
    if not connection.get_execution_options().get("is_writer", False):
        # A read begins thousands of times a minute. SQLAlchemy's own execution takes 0.1 ms of CPU, the driver's 0.005.
        connection.connection.cursor().execute("BEGIN")
        return
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _setup_lock(url: URL) -> Iterator[None]:
    """Let one process set up at a time: SQLite does not wait when the journal mode changes."""
    path = Path(f"{url.database}.setup-lock")
    path.touch(mode=0o600)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _switch_to_wal(engine: Engine) -> None:
    # SQLite refuses this inside a transaction. The mode is stored in the file.
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
    version = connection.execute(select(schema_version.c.version)).scalar_one()
    if version < SCHEMA_VERSION:
        version = upgrade(connection, version)
        connection.execute(update(schema_version).values(version=version))
    if version != SCHEMA_VERSION:
        raise ConfigError(
            "database_url",
            f"the database has schema version {version}, this release {SCHEMA_VERSION}; use the release that wrote it",
        )
