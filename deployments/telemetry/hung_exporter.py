"""Ends an exporter that stands still: it has the port, and no scrape gets an answer."""

import http.client
import logging
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from deployments.telemetry.exporter import exporter_lock, is_free

PROBE_S = 10.0  # between two probes of an exporter that answers
PROBE_TIMEOUT_S = 5.0
LATE_S = 20.0  # without an answer, after which it is ended

logger = logging.getLogger(__name__)


class HungExporter:
    """Probes the exporter that serves a port, and ends its process if it has not answered for LATE_S."""

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self._folder, self._host, self._port = folder, host, port
        self._answered_at = -PROBE_S
        self._silent: tuple[int, float] | None = None  # its process, and since when

    def look(self) -> None:
        """Call this every few seconds; it may block for PROBE_TIMEOUT_S.

        Raises FileNotFoundError without the folder.
        """
        if self._silent is None and time.monotonic() - self._answered_at < PROBE_S:
            return
        if answers(self._host, self._port):
            self._answered_at, self._silent = time.monotonic(), None
        else:
            self._note_silence()

    def _note_silence(self) -> None:
        """Only the same process may be silent all the time: another replica may have ended the one before."""
        pid = self._pid()
        if pid is None:  # another program has the port
            self._silent = None
        elif self._silent is None or self._silent[0] != pid:
            self._silent = pid, time.monotonic()
        elif time.monotonic() - self._silent[1] >= LATE_S:
            logger.warning(
                "the exporter of metrics, process %d, has not answered for %g s: it is replaced", pid, LATE_S
            )
            self._silent = None
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def _pid(self) -> int | None:
        """The process that has the exporter's lock; None without one."""
        with exporter_lock(self._folder, self._port).open("a+") as lock:
            if is_free(lock):
                return None
            lock.seek(0)
            pid = int(lock.read() or 0)
        return pid if pid and _is_exporter(pid) else None


def answers(host: str, port: int) -> bool:
    """Whether an HTTP server answers. OPTIONS costs it nothing, while a page costs it tens of milliseconds."""
    connection = http.client.HTTPConnection(host, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("OPTIONS", "/metrics")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def _is_exporter(pid: int) -> bool:
    try:
        return exporter_lock.__module__ in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
