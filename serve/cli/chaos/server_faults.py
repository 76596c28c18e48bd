"""Servers beside the service, such as PostgreSQL, Redis and Milvus: they die, stay away and come back; or they hang."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from signal import SIGKILL

import psutil

from models.errors import ConfigError
from serve.cli.chaos.fault import LASTS_S, Fault
from serve.cli.chaos.process_faults import Stopped, send


@dataclass
class Server:
    """A process with its children. `restart` is a shell command that starts it again, and prints its pid."""

    name: str
    pid: int
    restart: str | None = None

    @staticmethod
    def of_options(servers: Sequence[str], restarts: Sequence[str]) -> list["Server"]:
        """`NAME=PID` and `NAME=COMMAND`. Raises ConfigError."""
        pids, commands = _pairs("--server", servers), _pairs("--restart", restarts)
        for name in commands.keys() - pids.keys():
            raise ConfigError("--restart", f"no --server is called {name!r}")
        for name, pid in pids.items():
            if not pid.isdecimal() or not psutil.pid_exists(int(pid)):
                raise ConfigError("--server", f"{name!r} is to have the number of a process, not {pid!r}")
        return [Server(name, int(pid), commands.get(name)) for name, pid in pids.items()]

    def faults(self) -> list[Fault]:
        hung = Stopped(self.name, self.processes)
        return [hung] if self.restart is None else [hung, GoneServer(self)]

    def processes(self) -> list[psutil.Process]:
        try:
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def start(self) -> None:
        """Raises ConfigError."""
        assert self.restart is not None
        # What it starts may keep its output open, so the pid is a line and not all of the output.
        with subprocess.Popen(self.restart, shell=True, stdout=subprocess.PIPE, text=True) as shell:
            assert shell.stdout is not None
            line = shell.stdout.readline().strip()
        if not line.isdecimal():
            raise ConfigError("--restart", f"the command for {self.name!r} printed {line!r}, and not a pid")
        self.pid = int(line)


@dataclass(frozen=True)
class GoneServer:
    """SIGKILL, and a start after a while."""

    server: Server
    lasts_s: float = LASTS_S

    @property
    def name(self) -> str:
        return f"SIGKILL of {self.server.name}, back after {self.lasts_s:g} s"

    @contextmanager
    def inject(self) -> Iterator[None]:
        send(self.server.processes(), SIGKILL)
        try:
            time.sleep(self.lasts_s)
        finally:
            self.server.start()
        yield


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise ConfigError(option, f"{text!r} is to be NAME=VALUE")
        pairs[name] = value
    return pairs
