"""A database that hangs in place of refusing: each call ends within its limit, the next ones fail at once."""

import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil
import psycopg
import pytest
from backup_samples import new_database, postgresql_server
from sqlalchemy import text

from models.breaker import BreakerConfig, ignore_change
from models.corpus.database import Database, allow_long_statements, open_database
from models.corpus.database_breakers import SLOW_S, DatabaseBreakers
from models.corpus.database_config import DatabaseConfig
from models.errors.base import RagError
from models.errors.requests import NotFoundError
from models.errors.storage import DatabaseBusyError, DatabaseUnavailableError, StatementTimeoutError
from tests.patience import PATIENCE_S

T = TypeVar("T")
# A starved machine may be late for these too, so a test waits until a call succeeds, and expects no success at once.
SHORT = DatabaseConfig(
    connect_s=2, read_s=0.5, write_s=0.5, lock_s=0.1, busy_s=0.6, breaker=BreakerConfig(failures=2, open_s=0.1)
)
LEFT_ALONE = "did not answer the last calls"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql_server() as url:
        yield url


@pytest.fixture
def database(server: str) -> Iterator[Database]:
    url = new_database(server, "hangs")
    open_database(url).close()
    database = eventually(lambda: open_database(url, SHORT))
    yield database
    database.close()


def eventually(call: Callable[[], T]) -> T:
    """Call again until the database answers."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except DatabaseUnavailableError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def refusal(call: Callable[[], object], message: str) -> DatabaseUnavailableError:
    """Call until it is refused with the message."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with suppress(NotFoundError):
            try:
                call()
            except DatabaseUnavailableError as error:
                if message in str(error):
                    return error
    raise AssertionError(f"never refused with {message!r}")


def read(database: Database) -> int:
    with database.reading() as connection:
        return connection.execute(text("SELECT 1")).scalar_one()


def write(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("UPDATE files SET filename = filename"))


@contextmanager
def stopped(database: Database) -> Iterator[None]:
    """Stop the server and its backends, as SIGSTOP does: the kernel still takes connections and bytes for them."""
    with psycopg.connect(database._engine.url.set(drivername="postgresql").render_as_string(False)) as connection:
        postmaster = psutil.Process(psutil.Process(connection.info.backend_pid).ppid())
    processes = [postmaster, *postmaster.children()]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


@pytest.mark.slow
def test_a_stopped_server_ends_calls_then_costs_nothing_and_is_used_again_when_it_is_back(database: Database) -> None:
    with stopped(database):
        assert refusal(lambda: read(database), "does not answer").retry_after_s == 5
        refusal(lambda: read(database), LEFT_ALONE)
        with pytest.raises(DatabaseUnavailableError, match=LEFT_ALONE):
            write(database)
        assert database.breakers["database"].state in ("open", "half_open")

    assert eventually(lambda: read(database)) == 1
    eventually(lambda: write(database))
    assert database.breakers["database"].state == "closed"


@pytest.mark.slow
def test_a_server_that_stops_during_a_statement_ends_it(database: Database) -> None:
    def read_while_it_stops() -> None:
        with database.reading() as connection:
            connection.execute(text("SELECT 1"))
            with stopped(database):
                connection.execute(text("SELECT 2"))

    refusal(read_while_it_stops, "does not answer")

    assert eventually(lambda: read(database)) == 1


@pytest.mark.slow
def test_a_lock_of_another_session_ends_a_write_and_no_read(database: Database) -> None:
    url = database._engine.url.set(drivername="postgresql").render_as_string(False)
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE files IN EXCLUSIVE MODE")

        refusal(lambda: write(database), "another session holds a lock that it needs")
        eventually(lambda: read(database))

    eventually(lambda: write(database))


@pytest.fixture
def slow_writes(server: str) -> Iterator[Database]:
    """A database whose writes may take much longer than its reads, as by default."""
    url = new_database(server, "slow_writes")
    open_database(url).close()
    database = eventually(lambda: open_database(url, SHORT.model_copy(update={"write_s": 600.0})))
    yield database
    database.close()


@pytest.mark.slow
def test_the_server_itself_ends_a_read_that_takes_too_long_and_a_write_may_take_longer(slow_writes: Database) -> None:
    def read_slowly() -> None:
        with slow_writes.reading() as connection:
            connection.execute(text("SELECT pg_sleep(600)"))

    def write_slowly() -> int:
        with slow_writes.writing() as connection:
            connection.execute(text("SELECT pg_sleep(1)"))
            return 1

    error = refusal(read_slowly, "a statement took too long")

    assert isinstance(error, StatementTimeoutError)
    assert eventually(write_slowly) == 1


def test_a_slow_statement_stops_no_other_caller_and_a_silent_server_stops_all() -> None:
    # A failure counts if it took half a second; so this test waits as long.
    breakers = DatabaseBreakers(BreakerConfig(failures=2, open_s=3600), lambda: None, ignore_change)

    def fail(block: AbstractContextManager[None], error: RagError) -> None:
        with suppress(RagError), block:
            time.sleep(SLOW_S)
            raise error

    for block in (breakers.reading, breakers.writing) * 3:
        fail(block(), StatementTimeoutError("a statement took too long"))
    assert {breaker.state for breaker in breakers.by_name.values()} == {"closed"}

    for _ in range(2):
        fail(breakers.writing(), DatabaseBusyError("another session holds a lock that it needs"))
        fail(breakers.reading(), DatabaseUnavailableError("it does not answer"))
    assert {breaker.is_open for breaker in breakers.by_name.values()} == {True}


@pytest.mark.slow
def test_a_backup_may_take_longer_than_a_statement_of_the_service(database: Database) -> None:
    def sleep() -> int:
        with database.reading() as connection:
            allow_long_statements(connection)
            connection.execute(text("SELECT pg_sleep(0.7)"))
            return read(database)

    assert eventually(sleep) == 1


def test_a_server_that_takes_a_connection_and_never_speaks_is_typed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(DatabaseUnavailableError, match="it does not answer"):
            open_database(f"postgresql+psycopg://nobody@127.0.0.1:{port}/none", SHORT)


def test_a_locked_sqlite_costs_the_first_writes_their_wait_and_reads_nothing(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/corpus.db", SHORT)
    other = sqlite3.connect(tmp_path / "corpus.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    refusal(lambda: write(database), "another process keeps it locked")
    refusal(lambda: write(database), "it took none of the last writes")
    assert read(database) == 1
    other.execute("ROLLBACK")
    other.close()

    eventually(lambda: write(database))
    assert {name: breaker.state for name, breaker in database.breakers.items()} == {
        "database": "closed",
        "database_writes": "closed",
    }
    database.close()
