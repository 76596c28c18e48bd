"""Shared by the tests of backup and restore: a PostgreSQL server, a corpus' contents, and killed child processes."""

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, select, text

from models.corpus.backup.keys import KEY_COLUMNS
from models.corpus.backup.restore import UNRESTORED, restore_backup
from models.corpus.blobs import FolderBlobStore
from models.corpus.columns import metadata
from models.corpus.database import Database, open_database
from models.corpus.schema import chunks, files, token_vectors, vectors
from tests.patience import PATIENCE_S

FORK = multiprocessing.get_context("fork")
NOT_RESTORED = {"log_id", "trimmed_seq", "build_owner", "build_lease_expires_at"} | {
    "attempts",
    "lease_owner",
    "lease_expires_at",
}
POSTGRESQL_USER = "postgres"  # the server refuses to run as root


def contents(database: Database) -> dict[str, list[str]]:
    """Read every row that a backup restores, without keys and leases. Vectors are listed with their chunk's id."""
    rows_by_table = {}
    with database.reading() as connection:
        for table in metadata.sorted_tables:
            if table not in UNRESTORED:
                columns = [column for column in table.columns if column.name not in KEY_COLUMNS | NOT_RESTORED]
                query = select(*columns)
                if table in (vectors, token_vectors):
                    query = query.add_columns(chunks.c.chunk_id).join(chunks, chunks.c.chunk_key == table.c.chunk_key)
                rows_by_table[table.name] = sorted(repr(tuple(row)) for row in connection.execute(query))
    return rows_by_table


def lost_blobs(database: Database, blob_root: Path) -> list[str]:
    """List the digests of files whose blob is missing or has other content."""
    blobs = FolderBlobStore(blob_root)
    with database.reading() as connection:
        digests = connection.scalars(select(files.c.digest)).all()
    return [digest for digest in digests if not blobs.exists(digest) or blobs.put(blobs.get(digest)) != digest]


def restore_and_die(url: str, blob_root: Path, backup: Path, moment: int) -> bool:
    """Restore in a child process that is killed when it reports progress for the `moment`-th time.

    Return whether it was killed; else it had finished before.
    """
    child = FORK.Process(target=_restore, args=(url, blob_root, backup, moment), daemon=True)
    child.start()
    return _was_killed(url, child)


def restore_and_be_killed(url: str, blob_root: Path, backup: Path, after_s: float) -> bool:
    """Restore in a child process that is killed after `after_s` seconds. Return whether it was killed."""
    child = FORK.Process(target=_restore, args=(url, blob_root, backup, 0), daemon=True)
    child.start()
    child.join(after_s)
    child.kill()
    return _was_killed(url, child)


def _was_killed(url: str, child: multiprocessing.context.ForkProcess) -> bool:
    """Wait for the child, and for what PostgreSQL still does for it: it may commit what a killed child has sent."""
    child.join(PATIENCE_S)
    assert child.exitcode in (0, -signal.SIGKILL)
    if url.startswith("postgresql"):
        _wait_for_sessions(url)
    return child.exitcode != 0


def _wait_for_sessions(url: str) -> None:
    """Wait until the database has no session but this one."""
    engine, end = create_engine(url, isolation_level="AUTOCOMMIT"), time.monotonic() + PATIENCE_S
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    with engine.connect() as connection:
        while connection.scalar(text(others)):
            assert time.monotonic() < end, "a session of a killed restore never ends"
            time.sleep(0.02)
    engine.dispose()


def _restore(url: str, blob_root: Path, backup: Path, moment: int) -> None:
    reports = iter(range(1, 1_000_000))

    def die_in_time(*_: Any) -> None:
        if next(reports) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    database = open_database(url)
    restore_backup(database, blob_root, backup, replace=True, progress=die_in_time)
    database.close()


@contextmanager
def postgresql_server() -> Iterator[str]:
    """Start a server and yield the URL of its database `postgres`. Skips the test if no server is installed."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs or not (programs[-1] / "initdb").exists():
        pytest.skip("no PostgreSQL server is installed")
    if os.geteuid() != 0:
        pytest.skip("only root can start a PostgreSQL server as the user that it wants")
    folder = Path(tempfile.mkdtemp(prefix="ragserve-pg-"))
    shutil.chown(folder, POSTGRESQL_USER)
    port = _free_port()
    _run(programs[-1] / "initdb", "-D", folder / "data", "-A", "trust", "-U", "ragserve", "-E", "UTF8", "--no-sync")
    control = (programs[-1] / "pg_ctl", "-D", folder / "data", "-w")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    _run(*control, "-o", options, "-l", folder / "log", "start")
    try:
        yield f"postgresql+psycopg://ragserve@127.0.0.1:{port}/postgres"
    finally:
        _run(*control, "-m", "immediate", "stop")
        shutil.rmtree(folder)


def new_database(server: str, name: str) -> str:
    """Create an empty database on the server and return its URL."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, user=POSTGRESQL_USER, cwd="/", stdout=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
