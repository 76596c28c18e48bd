"""The metrics of a node: every replica writes its values into a folder, and one of them serves the sum on one port.

The files outlive their processes, so counters go on when a replica is replaced.
"""

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Metric,
    generate_latest,
    multiprocess,
    start_http_server,
    values,
)
from prometheus_client.registry import Collector

FOLDER, PORT, HOST = "RAGSERVE_METRICS_FOLDER", "RAGSERVE_METRICS_PORT", "RAGSERVE_METRICS_HOST"
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own; vLLM reads it too
DEFAULT_PORT = 9464  # that of OpenTelemetry's Prometheus exporters
RETRY_S = 2.0  # until another replica takes over the port


def write_to_folder() -> None:
    """Call this before the first metric is made. Without the folder, metrics stay in this process."""
    if folder := os.environ.get(FOLDER):
        Path(folder).mkdir(parents=True, exist_ok=True)
        os.environ[MULTIPROCESS] = folder
        # It was chosen without the folder, when it was imported.
        values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]


class NodeCollector(Collector):
    """The metrics of all replicas of this node, living and ended. Gauges are of the living ones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._values: Collector = multiprocess.MultiProcessCollector(None, str(folder))  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        for pid in self._dead():
            multiprocess.mark_process_dead(pid, str(self._folder))  # type: ignore[no-untyped-call]
        return self._values.collect()

    def _dead(self) -> set[int]:
        pids = {int(path.stem.rpartition("_")[2]) for path in self._folder.glob("gauge_*.db")}
        return {pid for pid in pids if not Path("/proc", str(pid)).exists()}


def node_registry() -> CollectorRegistry:
    """What to expose: the whole node's metrics in a replica, otherwise this process' own."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return REGISTRY
    registry = CollectorRegistry()
    registry.register(NodeCollector(Path(folder)))
    return registry


def exposition() -> bytes:
    """Prometheus' text format."""
    return generate_latest(node_registry())


@contextmanager
def metrics_folder() -> Iterator[None]:
    """Processes that start inside the block write their metrics into a new folder, which is deleted at its end."""
    if os.environ.get(FOLDER):  # the operator's own
        yield
        return
    folder = mkdtemp(prefix="ragserve-metrics-")
    os.environ[FOLDER] = folder
    try:
        yield
    finally:
        del os.environ[FOLDER]
        rmtree(folder, ignore_errors=True)


class MetricsServer:
    """Serves the node's metrics, as soon as no other replica of the node does."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._registry = node_registry()

    def start(self) -> None:
        """Return at once. The thread ends with the process."""
        threading.Thread(target=self._take_port, name="metrics", daemon=True).start()

    def _take_port(self) -> None:
        while not self._listens():
            time.sleep(RETRY_S)

    def _listens(self) -> bool:
        try:
            start_http_server(self._port, self._host, self._registry)
        except OSError:  # another replica has the port
            return False
        return True


_server: MetricsServer | None = None


def serve_metrics() -> None:
    """Call this in a replica. Without the folder, or with port 0, it does nothing."""
    global _server  # one for each process, which may have several stages
    port = int(os.environ.get(PORT, str(DEFAULT_PORT)))
    if _server is None and port and os.environ.get(FOLDER):
        _server = MetricsServer(os.environ.get(HOST, "127.0.0.1"), port)
        _server.start()
