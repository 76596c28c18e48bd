"""A connection to PostgreSQL whose calls end: a process that is stopped, or a network that drops packets, says nothing.

The server's own limits end a statement that is slow or waits for a lock. The client's end one that gets no answer.
"""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from models.corpus.database_config import GRACE_S, DatabaseConfig

TCP_PROBES = 3

T = TypeVar("T")


class LimitedConnection(psycopg.Connection[Any]):
    """`limit_s`: seconds that a statement may take; then the connection is closed, since its state is unknown."""

    limit_s: float | None = None
    is_new = True

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, self.limit_s if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if error.sqlstate is None:  # not the server's: it is late, or gone
                self.pgconn.finish()
            raise


def limit_connections(engine: Engine, config: DatabaseConfig) -> None:
    """Open the engine's connections with the limits, and probe an idle one before it is used."""

    def connect(_: object, __: object, arguments: list[Any], options: dict[str, Any]) -> LimitedConnection:
        return _connect(config, arguments, options)

    def check(connection: LimitedConnection, _: ConnectionPoolEntry, __: object) -> None:
        if not connection.is_new:
            _probe(engine, connection, config)
        connection.is_new, connection.limit_s = False, config.read_s + GRACE_S

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "checkout", check)


def _connect(config: DatabaseConfig, arguments: list[Any], options: dict[str, Any]) -> LimitedConnection:
    connection = LimitedConnection.connect(*arguments, **_tcp_options(config) | options)
    connection.limit_s = config.connect_s
    connection.autocommit = True
    # Not in the options of the connection: poolers such as PgBouncer refuse them.
    limits = tuple(f"{limit_s * 1000:.0f}ms" for limit_s in (config.read_s, config.lock_s))
    connection.execute(
        "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)", limits
    )
    connection.autocommit = False
    return connection


def _tcp_options(config: DatabaseConfig) -> dict[str, int]:
    """libpq's words: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS."""
    probe_s = max(1, config.tcp_s // (TCP_PROBES + 1))
    return {
        "connect_timeout": config.connect_s,
        "tcp_user_timeout": config.tcp_s * 1000,  # ms
        "keepalives_idle": probe_s,
        "keepalives_interval": probe_s,
        "keepalives_count": TCP_PROBES,
    }


def _probe(engine: Engine, connection: LimitedConnection, config: DatabaseConfig) -> None:
    """Raises InvalidatePoolError if it does not answer: then every idle connection is opened anew."""
    connection.limit_s = config.connect_s
    try:
        engine.dialect.do_ping(connection)  # type: ignore[arg-type]
    except psycopg.Error:
        raise InvalidatePoolError from None
