"""A second corpus that follows the backups of a first one, and is never overwritten once it is in use itself."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, func, insert, select, text

from models.corpus.backup.keys import key_column, keyed_tables
from models.corpus.backup.manifest import Manifest, Progress, fsync, ignore_progress, typed_errors
from models.corpus.backup.restore import check_replaceable, restore_backup
from models.corpus.database import Database
from models.corpus.ids import random_id
from models.corpus.schema import leases
from models.errors.configuration import ConfigError
from models.errors.requests import ConflictError

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
NO_BACKUP, NO_RESTORE = "", ""
RESOURCE = "restored backup"
_TABLES = [table for table in keyed_tables() if table.name in CALLERS_TABLES]


@dataclass(frozen=True)
class Followed:
    """A backup that a standby has, or is getting, and what callers had written then.

    The database has the `restore_id` of the one that it has.
    """

    backup: str
    written: Mapping[str, int]
    restore_id: str = NO_RESTORE


class Standby:
    """A corpus, and a file beside its data that says which backup it has."""

    def __init__(self, database: Database, blob_root: str | Path, folder: Path) -> None:
        """`folder` is the standby's data folder."""
        self._database, self._blob_root, self._state = database, blob_root, folder / STATE_FILE

    @property
    def backup(self) -> str | None:
        """The name of the backup that it has. None: none yet."""
        with self._database.reading() as connection:
            followed = self._followed(connection)
        return None if followed is None else followed.backup or None

    def check_unused(self) -> None:
        """Raise ConflictError if callers have written to it since the restore."""
        with self._database.reading() as connection:
            self._check_unused(connection)

    def restore(self, name: str, backup: Path, progress: Progress = ignore_progress) -> Manifest:
        """Replace its corpus by the backup `name` in the folder. A corpus that follows none yet must be empty.

        Raises ConflictError if it is in use, and ConfigError as restore_backup does. A kill leaves the old corpus or
        the new one, and the next call goes on.
        """
        with self._database.reading() as connection:
            old = self._check_unused(connection)
            if old is None:
                check_replaceable(connection)
                old = Followed(NO_BACKUP, _written(connection))
        new = list[Followed]()

        def note(connection: Connection) -> None:
            # In the file before the commit. Of its two entries, the one holds that the database names.
            new.append(Followed(name, _written(connection), random_id("restore_")))
            _set_restore_id(connection, new[0].restore_id)
            self._write([old, *new])

        manifest = restore_backup(
            self._database, self._blob_root, backup, replace=True, progress=progress, before_commit=note
        )
        self._write(new)
        return manifest

    def _check_unused(self, connection: Connection) -> Followed | None:
        followed = self._followed(connection)
        if followed is not None and not _is_unused(_written(connection), followed.written):
            raise ConflictError(
                "callers have written to the standby since the last restore, so it is in use and stays as it is; stop "
                f"following, or delete its data and {self._state}"
            )
        return followed

    def _followed(self, connection: Connection) -> Followed | None:
        try:
            first, *later = [Followed(**state) for state in json.loads(self._state.read_text())]
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise ConfigError(str(self._state), f"is damaged: {error}") from None
        restore_id = connection.scalar(select(leases.c.owner).where(leases.c.resource == RESOURCE))
        return next((state for state in later if state.restore_id == restore_id), first)

    def _write(self, states: list[Followed]) -> None:
        with typed_errors(self._state):
            incoming = self._state.with_name(f"{STATE_FILE}.incoming")
            incoming.write_text(json.dumps([asdict(state) for state in states]))
            fsync(incoming)
            os.replace(incoming, self._state)
            fsync(self._state.parent)


def _set_restore_id(connection: Connection, restore_id: str) -> None:
    """In the table of leases, which no restore replaces."""
    connection.execute(delete(leases).where(leases.c.resource == RESOURCE))
    connection.execute(insert(leases).values(resource=RESOURCE, owner=restore_id, expires_at=0.0))


def _written(connection: Connection) -> dict[str, int]:
    """The highest key of each table of CALLERS_TABLES, and the counts.

    Not the sequences' values: PostgreSQL keeps those of a transaction that was rolled back.
    """
    keys = {table.name: connection.scalar(select(func.max(table.c[key_column(table)]))) or 0 for table in _TABLES}
    num_files, num_versions, num_stores = connection.execute(text(COUNTS)).one()
    return keys | {"num_files": num_files, "num_versions": num_versions, "num_stores": num_stores}


def _is_unused(now: Mapping[str, int], written: Mapping[str, int]) -> bool:
    """Whether `now` has no later row. Earlier ones may have expired, which the counts leave out."""
    are_old = all(now[name] <= written.get(name, 0) for name in CALLERS_TABLES)
    return are_old and all(now[name] == written.get(name) for name in now.keys() - set(CALLERS_TABLES))
