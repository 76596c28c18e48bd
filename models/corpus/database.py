"""The SQL database: queued write transactions, and a schema that several processes may create at the same time."""

import fcntl
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

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
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from models.breaker import Breaker, OnChange, ignore_change
from models.corpus import (
    access_schema,  # noqa: F401 (its tables are created with the others)
    conversation_schema,  # noqa: F401 (its tables are created with the others)
    cost_schema,  # noqa: F401 (its tables are created with the others)
    memory_schema,  # noqa: F401 (its tables are created with the others)
    quality_schema,  # noqa: F401 (its tables are created with the others)
    versions_schema,  # noqa: F401 (its tables are created with the others)
)
from models.corpus.columns import metadata
from models.corpus.database_breakers import DatabaseBreakers
from models.corpus.database_config import GRACE_S, DatabaseConfig
from models.corpus.reserve import Reserve
from models.corpus.schema import SCHEMA_VERSION, schema_version
from models.corpus.storage_errors import typed_database_errors, typed_driver_errors
from models.corpus.upgrades import upgrade
from models.corpus.writer_turns import WriterTurns
from models.errors.configuration import ConfigError

LONG_STATEMENT_S = 3600.0
MAX_WRITERS = 10  # of PostgreSQL's 15 connections: the others are left for reads
AS_SHIPPED = DatabaseConfig()


class Database:
    """Runs transactions on one database for any number of threads. Other processes may have it open too.

    Each call ends within the limits of `config`. While the database answers none, calls fail at once.
    """

    def __init__(
        self, engine: Engine, config: DatabaseConfig = AS_SHIPPED, on_change: OnChange = ignore_change
    ) -> None:
        self._engine, self._config = engine, config
        self._writer = engine.execution_options(is_writer=True)
        # SQLite allows one writer. Threads queue here, in order, instead of polling a locked file.
        is_sqlite = engine.dialect.name == "sqlite"
        self._turns = WriterTurns(1, config.busy_s) if is_sqlite else WriterTurns(MAX_WRITERS, config.checkout_s)
        self._reserve = Reserve(Path(f"{engine.url.database}-reserve")) if is_sqlite else None
        self._breakers = DatabaseBreakers(config.breaker, self._probe, on_change)

    @property
    def breakers(self) -> dict[str, Breaker]:
        """Those of reads and of writes, by name."""
        return self._breakers.by_name

    def problems(self) -> list[str]:
        """What an operator must repair, in words."""
        return ["database: it is damaged; restore it from a backup"] if self._breakers.has_seen_damage else []

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the database (on PostgreSQL: one state per statement).

        Raises DatabaseUnavailableError, also for what is damaged.
        """
        with self._breakers.reading(), typed_database_errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that is durable when the block ends, and rolled back if the block raises.

        Raises StorageFullError, and DatabaseUnavailableError: also if another process kept a lock for too long.
        """
        with self._breakers.writing(), typed_database_errors(), self._turns.turn(), self._writer.begin() as connection:
            self._allow_slow_write(connection)
            yield connection

    @contextmanager
    def deleting(self) -> Iterator[Connection]:
        """`writing` for what makes room: a full disk has room for it, if `keep_reserve` kept some."""
        with self._reserve.lent() if self._reserve else nullcontext(), self.writing() as connection:
            yield connection

    def keep_reserve(self) -> None:
        """Keep room for later deletes on a disk that is nearly full. PostgreSQL's disk is its server's."""
        if self._reserve is not None:
            self._reserve.keep()

    def close(self) -> None:
        self._engine.dispose()

    def _allow_slow_write(self, connection: Connection) -> None:
        """A connection has the limits of a read. PostgreSQL then ends a read that is too slow, so it has answered."""
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {round(self._config.write_s * 1000)}")
            limit_statements(connection, self._config.write_s)

    def _probe(self) -> None:
        """Raises DatabaseUnavailableError if no read would be answered."""
        with typed_database_errors(), self._engine.connect() as connection:
            connection.execute(select(1))


def open_database(url: str, config: DatabaseConfig = AS_SHIPPED, on_change: OnChange = ignore_change) -> Database:
    """Open `url`, create missing tables and upgrade the schema of an earlier release.

    `on_change` is told when a breaker opens or closes. Raises DatabaseUnavailableError, and ConfigError for a URL or a
    schema that this release cannot use, and for a folder that cannot be made.
    """
    parsed = _parse(url)
    is_sqlite = parsed.get_backend_name() == "sqlite"
    if is_sqlite:
        _keep_private(Path(str(parsed.database)))
    engine = _create_engine(parsed, config)
    database = Database(engine, config, on_change)
    with ExitStack() as on_error:
        on_error.callback(engine.dispose)
        with _setup_lock(parsed) if is_sqlite else nullcontext():
            if is_sqlite:
                with typed_driver_errors():
                    _switch_to_wal(engine)
            with database.writing() as connection:
                _create_schema(connection)
        on_error.pop_all()
    return database


def _keep_private(path: Path) -> None:
    """Make the file its owner's alone, and a new folder too. SQLite gives its other files the database's mode."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("storage.data_dir", f"{path.parent} cannot be made: {error.strerror}") from None
    with suppress(OSError):  # of another owner, or read-only: opening it says so
        path.touch(mode=0o600)
        path.chmod(0o600)


def check_database_url(url: str) -> None:
    """Raises ConfigError for a URL that no installed driver can open. Connects to nothing."""
    _create_engine(_parse(url), AS_SHIPPED).dispose()


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
    except (ArgumentError, ValueError):  # ValueError: of a port that is no number
        raise ConfigError("database_url", "not a URL; use sqlite:////folder/corpus.db or postgresql://…") from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError("database_url", f"{parsed.get_backend_name()!r} is not supported; use sqlite or postgresql")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigError("database_url", "SQLite needs a file, as in sqlite:////folder/corpus.db")
    return parsed


def limit_statements(connection: Connection, limit_s: float) -> None:
    """Let the statements of this transaction take so long without an answer."""
    driver: Any = connection.connection.driver_connection
    if hasattr(driver, "limit_s"):
        driver.limit_s = limit_s + GRACE_S


def allow_long_statements(connection: Connection) -> None:
    """Of this transaction: a backup, a restore and a new schema read or write whole tables, and wait for others."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        limit_statements(connection, LONG_STATEMENT_S)


def _create_engine(url: URL, config: DatabaseConfig) -> Engine:
    try:
        if url.get_backend_name() != "sqlite":
            return _create_postgresql_engine(url, config)
        engine = create_engine(url, connect_args={"timeout": config.busy_s}, pool_timeout=config.checkout_s)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError("database_url", f"the driver of {url.drivername!r} is not installed: {error}") from None
    event.listen(engine, "connect", _prepare_sqlite_connection)
    event.listen(engine, "begin", _begin_sqlite_transaction)
    return engine


def _create_postgresql_engine(url: URL, config: DatabaseConfig) -> Engine:
    engine = create_engine(url, pool_pre_ping=not url.drivername.endswith("psycopg"), pool_timeout=config.checkout_s)
    if engine.driver == "psycopg":
        from models.corpus.limited_connection import limit_connections  # a driver that SQLite does not need

        limit_connections(engine, config)
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
    allow_long_statements(connection)
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
