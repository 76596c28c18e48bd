"""Servers beside the service, such as PostgreSQL, Redis and Milvus: they die, stay away and come back; or they hang."""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from signal import SIGKILL

import psutil

from models.errors.configuration import ConfigError
from serve.cli.chaos.fault import LASTS_S, Fault
from serve.cli.chaos.process_faults import Stopped, send

IN_BACKGROUND = '"$0" "$@" < /dev/null > /dev/null 2>&1 & echo $!'  # no child of this process: nobody would wait for it


@dataclass
class Server:
    """A process with its children. `restart` is a shell command that starts it again, and prints its pid.

    Without one it is started as it was: with its own arguments, environment, folder and user.
    """

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
        return [GoneServer(self), Stopped(self.name, self.processes)]

    def processes(self) -> list[psutil.Process]:
        try:
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> Callable[[], None]:
        """Kill it with its children, and return what starts it again. Raises ConfigError if it is gone already."""
        processes = self.processes()
        if not processes:
            raise ConfigError("--server", f"{self.name!r}, process {self.pid}, has ended by itself")
        again = _starter_of(processes[0]) if self.restart is None else partial(_started_by, self.name, self.restart)
        send(processes, SIGKILL)

        def start() -> None:
            self.pid = again()

        return start


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
        """Raises ConfigError."""
        start = self.server.kill()
        try:
            time.sleep(self.lasts_s)
        finally:
            start()
        yield


def _started_by(name: str, command: str) -> int:
    """The pid that the shell command prints. Raises ConfigError."""
    # What it starts may keep its output open, so the pid is a line and not all of the output.
    with subprocess.Popen(command, shell=True, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        line = shell.stdout.readline().strip()
    if not line.isdecimal():
        raise ConfigError("--restart", f"the command for {name!r} printed {line!r}, and not a pid")
    return int(line)


def _starter_of(process: psutil.Process) -> Callable[[], int]:
    """What starts the process again as it is now, and returns the new pid."""
    command, environment, folder = process.cmdline(), process.environ(), process.cwd()
    user, group = process.uids().effective, process.gids().effective

    def start() -> int:
        arguments = ["/bin/sh", "-c", IN_BACKGROUND, *command]
        done = subprocess.run(
            arguments,
            env=environment,
            cwd=folder,
            user=user,
            group=group,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return int(done.stdout)

    return start


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise ConfigError(option, f"{text!r} is to be NAME=VALUE")
        pairs[name] = value
    return pairs
