"""A PostgreSQL server, and a second one that follows it by streaming replication, both on the loopback address."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import psutil
from sqlalchemy import create_engine, text

from deployments.cluster.environment import free_port
from models.errors.configuration import ConfigError
from serve.cli.bench.standby.killed import is_running, kill_all, tree_of

HOST, USER = "127.0.0.1", "ragserve"
DEBIAN_FOLDER = Path("/usr/lib/postgresql")
SYSTEM_USER = "postgres"  # the server refuses to run as root
ONLY_SYNCHRONOUS = "ALTER SYSTEM SET synchronous_standby_names = '*'"
SHARED_MEMORY_LINE = 6  # of postmaster.pid: key and id of the segment


@dataclass(frozen=True)
class PostgresServer:
    """One server: its programs, its folder, in which `data` is, and its port."""

    programs: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{USER}@{HOST}:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses={HOST} -c dynamic_shared_memory_type=mmap"
        self._control("-o", options, "-l", str(self.folder / "log"), "start")

    def clone(self, folder: Path) -> "PostgresServer":
        """Start a standby in the folder: a copy that follows this server."""
        standby = PostgresServer(self.programs, _owned(folder), free_port())
        source = ("-h", HOST, "-p", str(self.port), "-U", USER)
        _run(self.programs / "pg_basebackup", *source, "-D", folder / "data", "-R", "-X", "stream", "-c", "fast")
        standby.start()
        return standby

    def acknowledge_replicated(self) -> None:
        """From now on, acknowledge a transaction when a standby has it on disk too."""
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(ONLY_SYNCHRONOUS))
            connection.execute(text("SELECT pg_reload_conf()"))
        engine.dispose()

    def promote(self) -> None:
        """Take writes. Returns when the server does."""
        self._control("promote")

    def kill(self, *, also: Sequence[psutil.Process] = ()) -> None:
        """SIGKILL to the server with all its processes, and to others with them."""
        pid = self._pid_file()[:1]
        kill_all([*also, *(tree_of(int(pid[0])) if pid else [])])

    def stop(self) -> None:
        """End it, also after a kill, whose shared memory would stay."""
        pid_file = self._pid_file()
        if not pid_file:
            return
        if _is_server(int(pid_file[0]), self.folder):
            self._control("-m", "immediate", "stop")
        elif len(pid_file) > SHARED_MEMORY_LINE:
            segment = pid_file[SHARED_MEMORY_LINE].split()[-1]
            subprocess.run(["ipcrm", "-m", segment], check=False, stderr=subprocess.DEVNULL)

    def _pid_file(self) -> list[str]:
        """The lines of the running or killed server's file; none if it was stopped or never started."""
        path = self.folder / "data" / "postmaster.pid"
        return path.read_text().splitlines() if path.exists() else []

    def _control(self, *arguments: str) -> None:
        _run(self.programs / "pg_ctl", "-D", self.folder / "data", "-w", *arguments)


@contextmanager
def primary_and_standby() -> Iterator[tuple[PostgresServer, Path]]:
    """A running server, and an empty folder for its standby. Both have ended afterwards, and nothing is left.

    Raises ConfigError without PostgreSQL.
    """
    programs, folder = _programs(), Path(mkdtemp(prefix="ragserve-standby-"))
    folder.chmod(0o755)  # the servers' user must get through
    primary = PostgresServer(programs, _owned(folder / "primary"), free_port())
    standby = PostgresServer(programs, folder / "standby", 0)
    try:
        data = primary.folder / "data"
        _run(programs / "initdb", "-D", data, "-A", "trust", "-U", USER, "-E", "UTF8", "--no-sync")
        primary.start()
        yield primary, standby.folder
    finally:
        for server in (primary, standby):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    """The folder of the newest server's programs. Raises ConfigError."""
    folders = [path.parent for path in DEBIAN_FOLDER.glob("*/bin/pg_basebackup")]
    if folders:
        return max(folders, key=lambda folder: int(folder.parent.name))
    program = shutil.which("pg_basebackup")
    if program is None or not (Path(program).resolve().parent / "initdb").exists():
        raise ConfigError("postgresql", "is not installed; install the server's package, such as postgresql-15")
    return Path(program).resolve().parent


def _is_server(pid: int, folder: Path) -> bool:
    """Whether the process is the folder's server, and not a later one of the same number."""
    try:
        process = psutil.Process(pid)
        return is_running(process) and str(folder) in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def _owned(folder: Path) -> Path:
    """A new folder of the server's user."""
    folder.mkdir(mode=0o700)
    if _system_user() is not None:
        shutil.chown(folder, SYSTEM_USER)
    return folder


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, user=_system_user(), cwd="/", stdout=subprocess.DEVNULL)


def _system_user() -> str | None:
    return SYSTEM_USER if os.geteuid() == 0 else None
