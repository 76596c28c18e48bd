"""What each replica does first: its log lines join Serve's, and its metrics are exposed."""

from deployments.telemetry.exporter_process import serve_metrics
from deployments.telemetry.exposition import name_replica
from deployments.telemetry.logs import join_serve_log, replica_fields
from deployments.telemetry.metrics.stages import REPLICAS


def start_telemetry(stage: str) -> None:
    """Call this first in a replica."""
    join_serve_log()
    if name := replica_fields().get("replica"):
        name_replica(name)
    REPLICAS.labels(stage).inc()
    serve_metrics()
