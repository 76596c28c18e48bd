"""The format of a backup: a folder that is complete and passes every check, or is refused.

DEST/manifest.json      versions, date, sizes, and the checksum of corpus.db
DEST/corpus.db          every table as of one moment, always an SQLite file
DEST/files/ab/abcd…     the uploaded files that the tables name, by the SHA-256 of their content
"""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import OperationalError

from models.corpus.columns import metadata
from models.corpus.schema import SCHEMA_VERSION
from models.errors.configuration import ConfigError
from models.errors.limits import OverloadedError
from models.errors.requests import ConflictError
from models.errors.storage import DatabaseUnavailableError, StorageFullError

FORMAT_VERSION = 1
# A restore skips tables and columns that the backup of an earlier schema lacks.
OLDEST_SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
DATABASE = "corpus.db"
FILES = "files"
UNFINISHED = ".unfinished-"  # in the name of a folder that a killed process leaves

Progress = Callable[[str, int, int], None]  # the step's name, units done, units in total
DEADLOCK = "40P01"  # PostgreSQL's SQLSTATE


class BackupUnderWayError(ConflictError):
    """Another process makes a backup in the same place."""

    def __init__(self, where: str) -> None:
        super().__init__(where)

    def __str__(self) -> str:
        return f"another backup is under way in {self.args[0]}; try again later"


class Manifest(BaseModel):
    """The description of a backup, in manifest.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = Field(description="Version of the folder's layout.")
    schema_version: int = Field(description="Version of the tables.")
    created_at: str = Field(description="Time at which the backup was complete, ISO 8601, UTC.")
    as_of: str | None = Field(
        default=None, description="Moment of the tables, ISO 8601, UTC. None: an earlier release wrote it."
    )
    database_sha256: str = Field(description="SHA-256 of corpus.db. The names of the files are their checksums.")
    rows: dict[str, int] = Field(description="Number of rows in each table.")
    num_blobs: int = Field(description="Number of uploaded files, each distinct content once.")
    blob_bytes: int = Field(description="Total size of those files.")

    @property
    def moment(self) -> datetime:
        """What was committed before it is in the backup."""
        return datetime.fromisoformat(self.as_of or self.created_at)

    @staticmethod
    def read(backup: Path) -> "Manifest":
        """Read the manifest. Raises ConfigError for a folder that is no backup, or that this release cannot restore."""
        try:
            manifest = Manifest.model_validate_json((backup / MANIFEST).read_bytes())
        except OSError as error:
            raise ConfigError(str(backup), f"is not a backup: {MANIFEST} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            raise ConfigError(str(backup), f"is not a backup: {MANIFEST} is damaged: {error}") from None
        is_restorable = OLDEST_SCHEMA_VERSION <= manifest.schema_version <= SCHEMA_VERSION
        if manifest.format_version != FORMAT_VERSION or not is_restorable:
            raise ConfigError(
                str(backup),
                f"has format {manifest.format_version} and schema version {manifest.schema_version}; this release "
                f"restores format {FORMAT_VERSION} and schema versions {OLDEST_SCHEMA_VERSION} to {SCHEMA_VERSION}; "
                "run the release that wrote it",
            )
        return manifest

    def check(self, backup: Path) -> None:
        """Raise ConfigError if corpus.db does not match its checksum."""
        if sha256_of(backup / DATABASE) != self.database_sha256:
            raise ConfigError(str(backup), f"is damaged: {DATABASE} does not match the checksum in {MANIFEST}")


def ignore_progress(step: str, num_done: int, total: int) -> None:
    """Report no progress."""


@contextmanager
def typed_errors(where: Path) -> Iterator[None]:
    """Turn a disk's error, full or unreadable, into ConfigError, and a PostgreSQL deadlock into OverloadedError."""
    try:
        yield
    except OSError as error:
        raise ConfigError(str(error.filename or where), error.strerror or str(error)) from error
    except sqlite3.DatabaseError as error:
        raise ConfigError(str(where), str(error)) from error
    except StorageFullError as error:
        raise ConfigError(str(where), f"{error.where} is full") from error
    except DatabaseUnavailableError as error:
        raise ConfigError(str(where), str(error)) from error
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) == DEADLOCK:
            raise OverloadedError("corpus") from error
        raise ConfigError(str(where), str(error.orig)) from error


def open_tables(database_file: Path) -> closing[sqlite3.Connection]:
    """Open a backup's tables for reading, also on a read-only disk."""
    return closing(sqlite3.connect(f"{database_file.resolve().as_uri()}?mode=ro&immutable=1", uri=True))


def digests_in(database_file: Path) -> list[str]:
    """List the digests of the uploaded files that the tables name."""
    with open_tables(database_file) as tables:
        queries = [f'SELECT digest FROM "{name}"' for name in _with_digests(tables)]
        return sorted({row[0] for query in queries for row in tables.execute(query)})


def blob_bytes_in(database_file: Path) -> int:
    """The size of these files, each distinct content once."""
    with open_tables(database_file) as tables:
        sizes = {
            digest: size_bytes
            for name in _with_digests(tables)
            for digest, size_bytes in tables.execute(f'SELECT digest, size_bytes FROM "{name}"')
        }
    return sum(sizes.values())


def _with_digests(tables: sqlite3.Connection) -> list[str]:
    """The tables that name uploaded files. Earlier releases have no versions of files."""
    names = {row[0] for row in tables.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return [name for name in ("files", "file_versions") if name in names]


def rows_in(database_file: Path) -> dict[str, int]:
    """Count the rows of each table."""
    with open_tables(database_file) as tables:
        return {
            name: tables.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in sorted(metadata.tables)
        }


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Flush a file or a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
