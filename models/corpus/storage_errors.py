"""What the errors of a database or a disk mean to a caller: no room, not writable, gone, or busy."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as CheckoutTimeoutError

from models.errors.base import RagError
from models.errors.storage import (
    BlobsUnavailableError,
    DatabaseBusyError,
    DatabaseDamagedError,
    DatabaseUnavailableError,
    StatementTimeoutError,
    StorageFullError,
)

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# PostgreSQL's codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
DISK_FULL, READ_ONLY = "53100", "25006"
# Connections, shutdown, memory or connections used up, an idle session ended, an error of its system.
GONE = ("08", "57P", "53", "25P03", "58")
DAMAGED_STATES = ("XX001", "XX002")  # of a table, of an index
ENDED = "57014"
BUSY_STATES = {
    "55P03": "another session holds a lock that it needs",
    "40001": "a standby gives way to its primary's changes",  # conflict with recovery; we serialize nothing ourselves
}
# SQLite's: https://www.sqlite.org/rescode.html
UNAVAILABLE = {
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_IOERR: "its disk fails",
}
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def database_error(error: DBAPIError) -> RagError | None:
    """What it means: StorageFullError or DatabaseUnavailableError; None: it is a bug."""
    return _sqlite_error(error.orig) if isinstance(error.orig, sqlite3.Error) else _postgres_error(error)


def _sqlite_error(error: sqlite3.Error) -> RagError | None:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the driver's own errors have none
    if code == sqlite3.SQLITE_FULL:
        return StorageFullError("the database")
    if code in BUSY:
        return DatabaseBusyError("another process keeps it locked")
    if code in DAMAGED:
        return DatabaseDamagedError()
    return DatabaseUnavailableError(UNAVAILABLE[code]) if code in UNAVAILABLE else None


def _postgres_error(error: DBAPIError) -> RagError | None:
    state: str = getattr(error.orig, "sqlstate", None) or ""
    if state == DISK_FULL:
        return StorageFullError("the database")
    if state == READ_ONLY:
        return DatabaseUnavailableError("it is read-only")
    if state in BUSY_STATES:
        return DatabaseBusyError(BUSY_STATES[state])
    if state in DAMAGED_STATES:
        return DatabaseDamagedError()
    if state == ENDED:
        return StatementTimeoutError("a statement took too long")
    is_gone = error.connection_invalidated or (isinstance(error, OperationalError) and not state)
    return DatabaseUnavailableError("it does not answer") if is_gone or state.startswith(GONE) else None


@contextmanager
def typed_database_errors() -> Iterator[None]:
    """Raise what an error of the database means to a caller. A bug stays as it is."""
    try:
        yield
    except DBAPIError as error:
        typed = database_error(error)
        if typed is not None:
            raise typed from error
        raise
    except CheckoutTimeoutError as error:
        raise DatabaseBusyError("all connections to it are in use") from error


@contextmanager
def typed_driver_errors() -> Iterator[None]:
    """The same for statements that go to SQLite's driver itself."""
    try:
        yield
    except sqlite3.Error as error:
        typed = _sqlite_error(error)
        if typed is not None:
            raise typed from error
        raise


@contextmanager
def typed_disk_errors(disk: str) -> Iterator[None]:
    """Turn the refusal of `disk` to write into StorageFullError or BlobsUnavailableError.

    Missing files stay as they are.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StorageFullError(disk) from error
        raise BlobsUnavailableError(error.strerror or type(error).__name__) from error
