"""A watcher that ends the processes which a dead service leaves: HAProxy outlives its parent, and keeps the port.

It runs as a process of its own, `python -m deployments.cluster.reaper PID`. Its standard input closes when PID ends,
even if PID is killed.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

POLL_S, END_POLL_S = 0.5, 0.05
GRACE_S = 5.0


@contextmanager
def reaper() -> Iterator[int]:
    """Watch this process's descendants during the block, and end all of them after it. Yields the watcher's pid."""
    command = [sys.executable, "-m", "deployments.cluster.reaper", str(psutil.Process().pid)]
    # A session of its own: Ctrl-C at the terminal must not end it. Nor must SIGTERM, which systemd sends to every
    # process of a service.
    with _blocked(signal.SIGINT, signal.SIGTERM):
        watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield watcher.pid
    finally:
        watcher.communicate()


def kill_descendants(watcher: int) -> None:
    """Kill them at once, but for the watcher: those that have nothing to finish."""
    for process in _descendants(os.getpid()):
        if process.pid != watcher:
            _kill(process)


@contextmanager
def _blocked(*numbers: signal.Signals) -> Iterator[None]:
    """A process that starts inside the block never gets these signals; this one gets them after it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def watch(pid: int) -> None:
    """Collect the descendants of `pid` until standard input closes, then end those that still run."""
    descendants: set[psutil.Process] = set()
    while not select.select([sys.stdin], [], [], POLL_S)[0]:
        descendants |= _descendants(pid)
    descendants |= _descendants(pid)
    descendants.discard(psutil.Process())
    alive = _alive_after(GRACE_S, descendants)
    for process in alive:
        _kill(process)
    _alive_after(GRACE_S, alive)


def _alive_after(limit_s: float, processes: set[psutil.Process]) -> set[psutil.Process]:
    """Those that still run after so long; returns as soon as there are none."""
    end = time.monotonic() + limit_s
    while alive := {process for process in processes if _is_alive(process)}:
        if time.monotonic() >= end:
            break
        time.sleep(END_POLL_S)
    return alive


def _is_alive(process: psutil.Process) -> bool:
    """A process whose parent has not waited for it yet has ended, too: the parent waits for the watcher."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def _descendants(pid: int) -> set[psutil.Process]:
    """A psutil.Process has a start time, so a reused pid is not mistaken for it."""
    try:
        return set(psutil.Process(pid).children(recursive=True)) - {psutil.Process()}
    except psutil.NoSuchProcess:
        return set()


if __name__ == "__main__":
    watch(int(sys.argv[1]))
