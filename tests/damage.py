"""What a failing disk does to SQLite's file."""

import sqlite3
from contextlib import closing
from pathlib import Path

DAMAGE = b"\x93" * 512


def damage(database: Path, name: str) -> None:
    """Overwrite the first page of a table or an index. Nobody may have the database open."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    with database.open("r+b") as file:
        file.seek((page - 1) * page_bytes)
        file.write(DAMAGE)
