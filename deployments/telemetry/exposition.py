"""The metrics of a node: every replica writes its values into a folder, and an exporter serves the sum on one port.

The files outlive their processes, so counters go on when a replica is replaced.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Metric,
    generate_latest,
    multiprocess,
    values,
)
from prometheus_client.registry import Collector

from deployments.telemetry.buffered_metrics import BUFFER
from deployments.telemetry.metrics_files import ATTEMPTS, GAUGE, MetricsFiles

FOLDER, PORT, HOST = "RAGSERVE_METRICS_FOLDER", "RAGSERVE_METRICS_PORT", "RAGSERVE_METRICS_HOST"
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own; vLLM reads it too
DEFAULT_PORT = 9464  # that of OpenTelemetry's Prometheus exporters
ENGINE_PREFIX = "vllm:"


def write_to_folder() -> None:
    """Call this before the first metric is made. Without the folder, metrics stay in this process."""
    if folder := os.environ.get(FOLDER):
        Path(folder).mkdir(parents=True, exist_ok=True)
        os.environ[MULTIPROCESS] = folder
        # It was chosen without the folder, when it was imported.
        values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]


def metrics_files_folder() -> Path | None:
    """The folder of this node's metrics; None if they stay in each process."""
    folder = os.environ.get(FOLDER)
    return Path(folder) if folder else None


class NodeCollector(Collector):
    """The metrics of all replicas of this node, living and ended. Gauges are of the living ones.

    Those of vLLM have a `replica` each: prometheus_client would show the one that was set last.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._files = folder, MetricsFiles(folder)

    def collect(self) -> Iterable[Metric]:
        self._files.clean_up()
        for _ in range(ATTEMPTS):
            before = self._files.snapshot()
            try:
                collected = self._read(self._files.current())
            except FileNotFoundError:  # merged meanwhile
                continue
            if self._files.snapshot() == before:
                return collected
        return self._read(self._files.current())

    def _read(self, paths: list[Path]) -> list[Metric]:
        collected = [metric for metric in _merge(paths) if not _is_engine_gauge(metric)]
        return [*collected, *self._engine_gauges(paths)]

    def _engine_gauges(self, paths: list[Path]) -> Iterable[Metric]:
        """Each once, with the samples of every replica."""
        by_name: dict[str, Metric] = {}
        for pid, of_process in _gauge_files(paths).items():
            replica = replica_of(self._folder, pid)
            for metric in filter(_is_engine_gauge, _merge(of_process)):
                whole = by_name.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                for sample in metric.samples:
                    whole.add_sample(sample.name, {**sample.labels, "replica": replica}, sample.value)
        return by_name.values()


def _merge(paths: list[Path]) -> list[Metric]:
    merged = multiprocess.MultiProcessCollector.merge([str(path) for path in paths])  # type: ignore[no-untyped-call]
    return list(merged)


def _is_engine_gauge(metric: Metric) -> bool:
    return metric.type == "gauge" and metric.name.startswith(ENGINE_PREFIX)


def _gauge_files(paths: list[Path]) -> dict[int, list[Path]]:
    """By process."""
    of_process: dict[int, list[Path]] = {}
    for path in paths:
        if match := GAUGE.fullmatch(path.name):
            of_process.setdefault(int(match[1]), []).append(path)
    return of_process


def name_replica(name: str) -> None:
    """Call this in a replica: it is the label `replica` of its engine's gauges."""
    if folder := os.environ.get(FOLDER):
        Path(folder, f"{os.getpid()}.replica").write_text(name)


def replica_of(folder: Path, pid: int) -> str:
    """The name of the process' replica; its id if it has none."""
    try:
        return (folder / f"{pid}.replica").read_text()
    except FileNotFoundError:
        return str(pid)


def node_registry() -> CollectorRegistry:
    """What to expose: the whole node's metrics in a replica, otherwise this process' own."""
    folder = metrics_files_folder()
    return folder_registry(folder) if folder else REGISTRY


def folder_registry(folder: Path) -> CollectorRegistry:
    """The metrics of the node whose folder this is."""
    registry = CollectorRegistry()
    registry.register(NodeCollector(folder))
    return registry


def exposition() -> bytes:
    """Prometheus' text format. All that this process observed is in it; others are FLUSH_S late."""
    BUFFER.flush()
    return generate_latest(node_registry())
