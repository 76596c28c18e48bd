"""The process that serves a node's metrics: its replicas start it, and `ragserve up` waits for its end."""

import fcntl
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from deployments.telemetry.exporter import REPLICAS_LOCK, exporter_lock, is_free
from deployments.telemetry.exposition import DEFAULT_PORT, FOLDER, HOST, MULTIPROCESS, PORT
from deployments.telemetry.hung_exporter import HungExporter

RETRY_S, MAX_RETRY_S = 2.0, 60.0  # until a replica starts the next exporter
END_POLL_S, END_LIMIT_S = 0.05, 15.0

logger = logging.getLogger(__name__)


class MetricsExporter:
    """Keeps an exporter running, together with the other replicas of the node."""

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self._folder, self._host, self._port = folder, host, port

    def start(self) -> None:
        """Return at once. The thread ends with the process, or with the folder."""
        threading.Thread(target=self._keep, name="metrics", daemon=True).start()

    def _keep(self) -> None:
        with suppress(FileNotFoundError), (self._folder / REPLICAS_LOCK).open("a") as share:
            fcntl.flock(share, fcntl.LOCK_SH)  # until this process ends; see exporter.py
            hung, delay_s = HungExporter(self._folder, self._host, self._port), 0.0
            while self._folder.exists():
                is_served = self._is_served()
                if is_served:
                    hung.look()
                else:
                    self._start_exporter()
                delay_s = next_delay_s(delay_s, is_served)
                time.sleep(delay_s)

    def _is_served(self) -> bool:
        """Whether a process listens on the port. One that this machine cannot listen on counts as served."""
        try:
            family, kind, _, _, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError:
            return True
        return False

    def _start_exporter(self) -> None:
        command = [sys.executable, "-m", "deployments.telemetry.exporter", str(self._folder), self._host]
        environment = {name: value for name, value in os.environ.items() if name != MULTIPROCESS}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        pipe = subprocess.DEVNULL
        try:
            # A session of its own: neither Ctrl-C nor Ray's end of a process group reaches it.
            subprocess.run(
                [*command, str(self._port)],
                env=environment,
                stdin=pipe,
                stdout=pipe,
                start_new_session=True,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError) as error:  # no memory, or too many processes
            logger.warning("no exporter of metrics starts: %s", error)


def next_delay_s(delay_s: float, is_served: bool) -> float:
    """Until the next look. Each exporter that does not come doubles it: its start costs the replica's node CPU time."""
    return RETRY_S if is_served else min(MAX_RETRY_S, max(RETRY_S, 2 * delay_s))


_exporter: MetricsExporter | None = None


def serve_metrics() -> None:
    """Call this in a replica. Without the folder, or with port 0, it does nothing."""
    global _exporter  # one for each process, which may have several stages
    port = int(os.environ.get(PORT, str(DEFAULT_PORT)))
    if _exporter is None and port and (folder := os.environ.get(FOLDER)):
        _exporter = MetricsExporter(Path(folder), os.environ.get(HOST, "127.0.0.1"), port)
        _exporter.start()


@contextmanager
def metrics_folder() -> Iterator[None]:
    """Processes that start inside the block write their metrics into a new folder, which is deleted at its end.

    The exporters of the folder have ended then.
    """
    if os.environ.get(FOLDER):  # the operator's own
        yield
        return
    folder = mkdtemp(prefix="ragserve-metrics-")
    os.environ[FOLDER] = folder
    try:
        yield
    finally:
        del os.environ[FOLDER]
        _delete(Path(folder))


def _delete(folder: Path) -> None:
    """Delete the folder, and wait until its exporters have noticed it."""
    locks = [path.open("a") for path in folder.glob(exporter_lock(folder, "*").name)]
    rmtree(folder, ignore_errors=True)
    end = time.monotonic() + END_LIMIT_S
    for lock in locks:
        with lock:
            while not is_free(lock) and time.monotonic() < end:
                time.sleep(END_POLL_S)
    rmtree(folder, ignore_errors=True)  # a scrape may have written a file meanwhile
