"""A watcher that ends what a dead service leaves: HAProxy outlives its parent, and would go on holding the port.

Runs as a process of its own, `python -m deployments.cluster.reaper PID`. Its standard input closes when PID ends,
however it ends.
"""

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

LOOK_S = 0.5
GRACE_S = 5.0


@contextmanager
def reaper() -> Iterator[None]:
    """While the block runs, a watcher remembers this process' descendants; when it ends, none of them is left."""
    command = [sys.executable, "-m", "deployments.cluster.reaper", str(psutil.Process().pid)]
    # A session of its own: Ctrl-C at the terminal is not for it.
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        watcher.communicate()


def watch(pid: int) -> None:
    """Remembers the descendants of `pid` until standard input closes, then ends those that are left."""
    seen: set[psutil.Process] = set()
    while not select.select([sys.stdin], [], [], LOOK_S)[0]:
        seen |= _descendants(pid)
    seen |= _descendants(pid)
    seen.discard(psutil.Process())
    _, alive = psutil.wait_procs(seen, timeout=GRACE_S)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=GRACE_S)


def _descendants(pid: int) -> set[psutil.Process]:
    """A psutil.Process knows when it was started, so a pid that is used again is not mistaken for it."""
    try:
        return set(psutil.Process(pid).children(recursive=True)) - {psutil.Process()}
    except psutil.NoSuchProcess:
        return set()


if __name__ == "__main__":
    watch(int(sys.argv[1]))
