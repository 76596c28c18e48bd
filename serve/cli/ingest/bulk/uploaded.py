"""What the service has already: the files by name, and their state in the vector store.

Read once at the start, into a temporary database on disk: a million files take some 300 MB there, and little memory.
So a run needs no notes of its own, and one that was killed goes on wherever the service itself is.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from models.filters import Attributes
from serve.cli.remote import RemoteService

SCHEMA = """
CREATE TABLE uploads (number INTEGER PRIMARY KEY, filename TEXT, file_id TEXT, sha256 TEXT);
CREATE INDEX uploads_by_name ON uploads (filename);
CREATE TABLE attached (file_id TEXT PRIMARY KEY, status TEXT, attributes TEXT) WITHOUT ROWID;
CREATE TABLE begun (filename TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class DuplicateNameError(Exception):
    """Two documents of a run have one name: each would replace the other, in every run."""


@dataclass(frozen=True)
class Uploaded:
    """The newest upload of a name, and the ids of older ones."""

    file_id: str
    sha256: str
    older_ids: tuple[str, ...]


class UploadedFiles:
    """Thread-safe. Its `with` block deletes the temporary database."""

    def __init__(self) -> None:
        # An empty name: SQLite's own temporary file, which no crash leaves behind.
        self._tables = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._tables.executescript(SCHEMA)
        self._lock = threading.Lock()

    def __enter__(self) -> "UploadedFiles":
        return self

    def __exit__(self, *_: object) -> None:
        self._tables.close()

    def load(self, service: RemoteService, vector_store_id: str) -> None:
        """Read all files of the service, and those of the vector store. Raises RemoteError."""
        uploads = service.pages("/v1/files", order="asc")
        attached = service.pages(f"/v1/vector_stores/{vector_store_id}/files", order="asc")
        with self._transaction() as tables:
            rows = ((file["filename"], file["id"], file.get("sha256", "")) for file in uploads)
            tables.executemany("INSERT INTO uploads (filename, file_id, sha256) VALUES (?, ?, ?)", rows)
            states = ((file["id"], file["status"], _as_text(file["attributes"])) for file in attached)
            tables.executemany("INSERT OR REPLACE INTO attached VALUES (?, ?, ?)", states)

    def begin(self, filename: str) -> Uploaded | None:
        """The uploads of a name, None for a new one. Raises DuplicateNameError for the second call with a name."""
        with self._lock:
            begun = self._tables.execute("INSERT OR IGNORE INTO begun VALUES (?)", (filename,))
            if begun.rowcount == 0:
                raise DuplicateNameError("another document of this run has the same name")
            query = "SELECT file_id, sha256 FROM uploads WHERE filename = ? ORDER BY number"
            uploads = self._tables.execute(query, (filename,)).fetchall()
        if not uploads:
            return None
        file_id, sha256 = uploads[-1]
        return Uploaded(file_id, sha256, tuple(older_id for older_id, _ in uploads[:-1]))

    def is_searchable(self, file_id: str, attributes: Attributes | None) -> bool:
        """Whether the store had this file completely at the start, with these attributes if there are any."""
        with self._lock:
            query = "SELECT status, attributes FROM attached WHERE file_id = ?"
            row = self._tables.execute(query, (file_id,)).fetchone()
        if row is None or row[0] != "completed":
            return False
        return attributes is None or row[1] == _as_text(attributes)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._tables.execute("BEGIN")
            yield self._tables
            self._tables.execute("COMMIT")


def _as_text(attributes: Mapping[str, Any] | None) -> str:
    return json.dumps(attributes or {}, sort_keys=True)
