"""Upgrade the schema of an earlier release: a file of SQL per version, in the transaction that opens the database.

The SQL is written out, because schema.py changes with the next version and a step must never change.
"""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, text

from models.corpus.ids import random_id

SCRIPTS = Path(__file__).parent / "upgrade_sql"  # 02_….sql makes version 2 of version 1


def upgrade(connection: Connection, version: int) -> int:
    """Run every step from schema `version` on. Return the version reached."""
    while scripts := list(SCRIPTS.glob(f"{version + 1:02}_*.sql")):
        version += 1
        _run(connection, scripts[0].read_text())
        if then := _AFTERWARDS.get(version):
            then(connection)
    return version


def _run(connection: Connection, script: str) -> None:
    is_postgresql = connection.dialect.name == "postgresql"
    key = "BIGSERIAL PRIMARY KEY" if is_postgresql else "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT"
    script = script.replace("{key}", key).replace("{blob}", "BYTEA" if is_postgresql else "BLOB")
    lines = [line for line in script.splitlines() if not line.startswith("--")]
    for statement in "\n".join(lines).split(";"):
        if statement.strip():
            connection.execute(text(statement))


def _name_logs(connection: Connection) -> None:
    for store_key in connection.scalars(text("SELECT store_key FROM vector_stores")).all():
        parameters = {"log_id": random_id("log_"), "store_key": store_key}
        connection.execute(text("UPDATE vector_stores SET log_id = :log_id WHERE store_key = :store_key"), parameters)


# What SQL cannot do, after the script of that version.
_AFTERWARDS: dict[int, Callable[[Connection], None]] = {2: _name_logs}
