"""A second corpus that follows the backups of a first one, and is never overwritten once it is in use itself."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from models.corpus.backup.keys import sequence_values
from models.corpus.backup.manifest import (
    DATABASE,
    Manifest,
    Progress,
    fsync,
    ignore_progress,
    open_tables,
    typed_errors,
)
from models.corpus.backup.restore import check_replaceable, restore_backup
from models.corpus.database import Database
from models.errors import ConfigError, ConflictError

STATE_FILE = "standby.json"
# What callers add. A standby's own ingestion and housekeeping add nothing here.
CALLERS_TABLES = (
    "files",
    "store_files",
    "file_batches",
    "responses",
    "conversations",
    "conversation_items",
    "feedback",
    "user_facts",
)
# Replaced and deleted files, and vector stores, except those that expire, and the one that every tenant has.
COUNTS = """SELECT count(*), coalesce(sum(version), 0),
    (SELECT count(*) FROM vector_stores WHERE expires_after_days IS NULL AND vector_store_id <> 'default')
FROM files WHERE expires_at IS NULL"""
NO_BACKUP = ""


@dataclass(frozen=True)
class Followed:
    """A backup that a standby has, or is getting, and what callers had written then."""

    backup: str
    written: Mapping[str, int]


class Standby:
    """A corpus, and a file beside its data that says which backup it has."""

    def __init__(self, database: Database, blob_root: str | Path, folder: Path) -> None:
        """`folder` is the standby's data folder."""
        self._database, self._blob_root, self._state = database, blob_root, folder / STATE_FILE

    @property
    def backup(self) -> str | None:
        """The name of the backup that it has. None: none yet."""
        states = self._read()
        return states[0].backup if len(states) == 1 else None

    def check_unused(self) -> None:
        """Raise ConflictError if callers have written to it since the restore."""
        states = self._read()
        with self._database.reading() as connection:
            now = _written(connection)
        if states and now not in [state.written for state in states]:
            raise ConflictError(
                "callers have written to the standby since the last restore, so it is in use and stays as it is; stop "
                f"following, or delete its data and {self._state}"
            )

    def restore(self, name: str, backup: Path, progress: Progress = ignore_progress) -> Manifest:
        """Replace its corpus by the backup `name` in the folder. A corpus that follows none yet must be empty.

        Raises ConflictError if it is in use, and ConfigError as restore_backup does. A kill leaves the old corpus or
        the new one, and the next call goes on.
        """
        self.check_unused()
        states = self._read()
        with self._database.reading() as connection:
            if not states:
                check_replaceable(connection)
                states = [Followed(NO_BACKUP, _written(connection))]
            # What restore_backup will make of it, written down before: afterwards a kill could lose it.
            following = Followed(name, _written_after_restore(connection, backup))
        self._write([*states, following])
        manifest = restore_backup(self._database, self._blob_root, backup, replace=True, progress=progress)
        self._write([following])
        return manifest

    def _read(self) -> list[Followed]:
        """The state before a restore and the one after it, if the last one was killed."""
        try:
            return [Followed(**state) for state in json.loads(self._state.read_text())]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError) as error:
            raise ConfigError(str(self._state), f"is damaged: {error}") from None

    def _write(self, states: list[Followed]) -> None:
        with typed_errors(self._state):
            incoming = self._state.with_name(f"{STATE_FILE}.incoming")
            incoming.write_text(json.dumps([asdict(state) for state in states]))
            fsync(incoming)
            os.replace(incoming, self._state)
            fsync(self._state.parent)


def _written(connection: Connection) -> dict[str, int]:
    assigned = sequence_values(connection)
    return _summary({name: assigned.get(name, 0) for name in CALLERS_TABLES}, connection.execute(text(COUNTS)).one())


def _written_after_restore(connection: Connection, backup: Path) -> dict[str, int]:
    """As restore_backup raises the keys."""
    offset = max(sequence_values(connection).values(), default=0)
    with typed_errors(backup), open_tables(backup / DATABASE) as tables:
        assigned = dict(tables.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
        counts = tables.execute(COUNTS).fetchone()
    return _summary({name: offset + assigned.get(name, 0) for name in CALLERS_TABLES}, counts)


def _summary(keys: dict[str, int], counts: Sequence[Any]) -> dict[str, int]:
    num_files, num_versions, num_stores = counts
    return keys | {"num_files": num_files, "num_versions": num_versions, "num_stores": num_stores}
