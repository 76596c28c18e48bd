"""The program that serves a node's metrics: `python -m deployments.telemetry.exporter FOLDER HOST PORT`.

It is a process of its own, so a replica that stands still hides nothing. The command returns at once and leaves a
process without a parent: Ray kills the children of a replica that it ends. That process ends when the node has no
replica any more, or the folder is deleted. A second one for the same folder and port ends at once.
"""

import fcntl
import os
import sys
import time
from pathlib import Path
from typing import IO

REPLICAS_LOCK = "replicas.lock"  # each replica has a share of it; the kernel takes that back when the replica ends
POLL_S = 0.5


def exporter_lock(folder: Path, port: int | str) -> Path:
    """The exporter of this port has this lock until it ends. The file has its process id."""
    return folder / f"exporter-{port}.lock"


def main(folder: Path, host: str, port: int) -> None:
    """Start an exporter. Its lock is taken when this returns; without the folder, there is nothing to serve."""
    try:
        lock = exporter_lock(folder, port).open("a")
    except FileNotFoundError:
        return
    if is_free(lock) and not os.fork():
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        serve(folder, host, port)
        os._exit(0)  # the lock and the port end at the same time


def is_free(lock: IO[str]) -> bool:
    """Whether no process had the lock. If so, it is taken, until the file is closed here and in later forks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def serve(folder: Path, host: str, port: int) -> None:
    """Return when the node has no replica, or at once if another program has the port."""
    # The process that only finds the lock taken does not need them.
    from prometheus_client import start_http_server

    from deployments.telemetry.exposition import folder_registry

    try:
        start_http_server(port, host, folder_registry(folder))
    except OSError:
        return
    while has_replicas(folder):
        time.sleep(POLL_S)


def has_replicas(folder: Path) -> bool:
    """Whether a process has its share of the lock. Also one that is stopped."""
    try:
        with (folder / REPLICAS_LOCK).open("r+") as lock:
            return not is_free(lock)
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
