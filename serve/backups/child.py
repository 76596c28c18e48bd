"""One backup in a process of its own: it computes for seconds, and an ingress must not wait for it.

A request on standard input as JSON, a report on the last line of standard output.
"""

import os
import sys
import threading
import time
from typing import Literal

from pydantic import BaseModel

from models.corpus.backup.manifest import BackupUnderWayError
from models.corpus.backup.repository import open_repository
from models.corpus.backup.scheduled import back_up_if_due
from models.corpus.database import open_database
from models.corpus.database_config import DatabaseConfig
from models.errors.base import RagError
from serve.backups.config import BackupsConfig

NICENESS = 10  # questions first
WATCH_S = 1.0


class BackupRequest(BaseModel):
    """What is copied, and where to."""

    database_url: str
    database: DatabaseConfig = DatabaseConfig()
    blob_root: str
    config: BackupsConfig


class BackupReport(BaseModel):
    """What came of it. `busy`: another process makes a backup now. `newest` in Unix seconds; None: there is none."""

    outcome: Literal["made", "not_due", "busy", "failed"]
    newest: float | None = None
    seconds: float = 0.0
    error: str = ""


def back_up(request: BackupRequest) -> BackupReport:
    """Makes a backup if one is due. Never raises RagError."""
    start = time.monotonic()
    try:
        outcome = _back_up(request)
    except BackupUnderWayError as error:
        return BackupReport(outcome="busy", error=str(error))
    except RagError as error:
        return BackupReport(outcome="failed", error=str(error))
    return outcome.model_copy(update={"seconds": time.monotonic() - start})


def _back_up(request: BackupRequest) -> BackupReport:
    config = request.config
    repository = open_repository(str(config.url))
    database = open_database(request.database_url, request.database)
    try:
        done = back_up_if_due(repository, database, request.blob_root, config.retention, config.every_s or 0.0)
    finally:
        database.close()
    newest = None if done.newest is None else done.newest.started_at.timestamp()
    return BackupReport(outcome="not_due" if done.made is None else "made", newest=newest)


def end_with_parent() -> None:
    """End once the ingress is gone: nobody would end a backup that hangs, and its lock refuses each later one."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    end_with_parent()
    os.nice(NICENESS)
    report = back_up(BackupRequest.model_validate_json(sys.stdin.buffer.read()))
    sys.stdout.write(report.model_dump_json() + "\n")
