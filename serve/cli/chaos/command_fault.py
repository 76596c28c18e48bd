"""A fault by a command, and its end by another one: what no signal does, such as a database that becomes read-only."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from models.errors.configuration import ConfigError
from serve.cli.chaos.fault import LASTS_S


@dataclass(frozen=True)
class CommandFault:
    """Shell commands. The second one runs even if the first one failed."""

    name: str
    begin: str
    end: str
    lasts_s: float = LASTS_S

    @staticmethod
    def of_option(text: str) -> "CommandFault":
        """`NAME=COMMAND;;COMMAND`. Raises ConfigError."""
        name, _, commands = text.partition("=")
        begin, _, end = commands.partition(";;")
        if not (name and begin.strip() and end.strip()):
            raise ConfigError("--fault", f"{text!r} is to be NAME=COMMAND;;COMMAND, which breaks and mends")
        return CommandFault(name, begin, end)

    @contextmanager
    def inject(self) -> Iterator[None]:
        """Raises ConfigError if a command fails."""
        try:
            self._run(self.begin)
            time.sleep(self.lasts_s)
        finally:
            self._run(self.end)
        yield

    def _run(self, command: str) -> None:
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ConfigError("--fault", f"{command!r} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
