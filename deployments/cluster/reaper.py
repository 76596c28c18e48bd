"""A watcher that ends the processes which a dead service leaves: HAProxy outlives its parent, and keeps the port.

It runs as a process of its own, `python -m deployments.cluster.reaper PID`. Its standard input closes when PID ends,
even if PID is killed.
"""

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

POLL_S = 0.5
GRACE_S = 5.0


@contextmanager
def reaper() -> Iterator[None]:
    """Watch this process's descendants during the block, and end all of them after it."""
    command = [sys.executable, "-m", "deployments.cluster.reaper", str(psutil.Process().pid)]
    # A session of its own: Ctrl-C at the terminal must not end it.
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        watcher.communicate()


def watch(pid: int) -> None:
    """Collect the descendants of `pid` until standard input closes, then end those that still run."""
    descendants: set[psutil.Process] = set()
    while not select.select([sys.stdin], [], [], POLL_S)[0]:
        descendants |= _descendants(pid)
    descendants |= _descendants(pid)
    descendants.discard(psutil.Process())
    _, alive = psutil.wait_procs(descendants, timeout=GRACE_S)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=GRACE_S)


def _descendants(pid: int) -> set[psutil.Process]:
    """A psutil.Process has a start time, so a reused pid is not mistaken for it."""
    try:
        return set(psutil.Process(pid).children(recursive=True)) - {psutil.Process()}
    except psutil.NoSuchProcess:
        return set()


if __name__ == "__main__":
    watch(int(sys.argv[1]))
