"""Processes that die, and processes that hang."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from serve.cli.chaos.fault import LASTS_S

Processes = Callable[[], Sequence[psutil.Process]]


@dataclass(frozen=True)
class Killed:
    """SIGKILL of every process at once, or of `count` of them. They come back by themselves."""

    what: str
    processes: Processes
    count: int | None = None

    @property
    def name(self) -> str:
        return f"SIGKILL of {self.what}"

    @contextmanager
    def inject(self) -> Iterator[None]:
        send(self.processes()[: self.count], signal.SIGKILL)
        yield


@dataclass(frozen=True)
class Stopped:
    """SIGSTOP of every process for a while: they hang, and go on."""

    what: str
    processes: Processes
    lasts_s: float = LASTS_S

    @property
    def name(self) -> str:
        return f"SIGSTOP of {self.what} for {self.lasts_s:g} s"

    @contextmanager
    def inject(self) -> Iterator[None]:
        processes = self.processes()
        send(processes, signal.SIGSTOP)
        try:
            time.sleep(self.lasts_s)
        finally:
            send(processes, signal.SIGCONT)
        yield


def send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    """To those that are still there."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
