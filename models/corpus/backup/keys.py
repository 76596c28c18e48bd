"""Keys are never used twice: a restored corpus gets keys above every key that the target database ever assigned.

Views store keys, and a running search may have keys of the replaced corpus. None of them may mean another row
afterwards. Ids, which callers store, do not change.
"""

from collections.abc import Mapping
from typing import cast

from sqlalchemy import Connection, Table, func, select, text

from models.corpus.columns import metadata

# The names of all columns with such keys. A restore raises all of them by the same number.
KEY_COLUMNS = frozenset(
    {
        "file_key",
        "store_key",
        "store_file_key",
        "batch_key",
        "job_id",
        "chunk_key",
        "event_key",
        "response_key",
        "response_item_key",
        "conversation_key",
        "conversation_item_key",
        "feedback_key",
        "fact_key",
        "audit_key",
    }
)


def keyed_tables() -> list[Table]:
    """List the tables that assign keys, each from its own sequence."""
    return [table for table in metadata.sorted_tables if table.dialect_options["sqlite"]["autoincrement"]]


def key_column(table: Table) -> str:
    return next(column.name for column in table.primary_key.columns)


def sequence_values(connection: Connection) -> dict[str, int]:
    """Return the highest key that each table ever assigned; 0 for none."""
    if connection.dialect.name == "sqlite":
        return {name: value for name, value in connection.execute(text("SELECT name, seq FROM sqlite_sequence"))}
    return {table.name: _postgresql_value(connection, table) for table in keyed_tables()}


def set_sequences(connection: Connection, values: Mapping[str, int]) -> None:
    """Make the next key of each table higher than its value."""
    if connection.dialect.name == "sqlite":
        set_sqlite_sequences(connection, values)
        return
    for table in keyed_tables():
        if value := values.get(table.name, 0):
            connection.execute(select(func.setval(_sequence_name(connection, table), value)))


def set_sqlite_sequences(connection: Connection, values: Mapping[str, int]) -> None:
    for name, value in values.items():
        parameters = {"name": name, "value": value}
        connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), parameters)
        connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :value)"), parameters)


def _sequence_name(connection: Connection, table: Table) -> str:
    return cast(str, connection.scalar(select(func.pg_get_serial_sequence(table.name, key_column(table)))))


def _postgresql_value(connection: Connection, table: Table) -> int:
    query = text(f"SELECT last_value, is_called FROM {_sequence_name(connection, table)}")
    last_value, is_called = connection.execute(query).one()
    return last_value if is_called else 0
