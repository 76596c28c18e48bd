"""Calls of a stage, the work inside its replicas, its breakers and its indexes."""

from collections.abc import Callable

from deployments.telemetry.buffered_metrics import Counter, Gauge, Histogram
from deployments.telemetry.metrics.buckets import (
    LATENCY_BUCKETS,
    SHORT_BUCKETS,
    SIZE_BUCKETS,
)

STAGE_SECONDS = Histogram(
    "ragserve_stage_seconds",
    "Time of one call of a stage, measured by its caller; outcome is ok or the error's code. Probes are no calls.",
    ["stage", "outcome"],
    buckets=LATENCY_BUCKETS,
)
REPLICAS = Gauge(
    "ragserve_replicas",
    "Replicas of a stage on this node.",
    ["stage"],
    multiprocess_mode="livesum",
)
STAGE_ONGOING = Gauge(
    "ragserve_stage_ongoing_requests",
    "Requests inside the replicas of a stage, waiting or worked on.",
    ["stage"],
    multiprocess_mode="livesum",
)
STAGE_WAITING = Gauge(
    "ragserve_stage_waiting_calls",
    "Calls inside the replicas of a stage that wait for their first batch.",
    ["stage"],
    multiprocess_mode="livesum",
)
STAGE_QUEUE_SECONDS = Histogram(
    "ragserve_stage_queue_seconds",
    "Time of a call inside a replica, from its arrival to the start of its first batch.",
    ["stage"],
    buckets=SHORT_BUCKETS,
)
STAGE_COMPUTE_SECONDS = Histogram(
    "ragserve_stage_compute_seconds", "Time of one batch: a forward pass, a search.", ["stage"], buckets=SHORT_BUCKETS
)
STAGE_BATCH_SIZE = Histogram(
    "ragserve_stage_batch_size", "Texts, pairs or requests of one batch.", ["stage"], buckets=SIZE_BUCKETS
)
STAGE_TOKENS = Counter("ragserve_stage_tokens_total", "Tokens in batches, without padding.", ["stage"])
STAGE_PADDING = Counter("ragserve_stage_padding_tokens_total", "Tokens of padding in batches.", ["stage"])
STAGE_DROPPED = Counter(
    "ragserve_stage_dropped_total",
    "Calls that a replica did not finish; reason is overloaded, deadline_exceeded or cancelled.",
    ["stage", "reason"],
)
STAGE_RETRIES = Counter(
    "ragserve_stage_retries_total",
    "Further attempts for a call: the next model of a list, a second child process of the Parser, a message of its own "
    "for a slow file.",
    ["stage"],
)
OPEN_BREAKERS = Gauge(
    "ragserve_open_breakers",
    "Breakers that are open: of a stage, of `database`, `milvus` or `redis`.",
    ["stage"],
    multiprocess_mode="livesum",
)


def breaker_counter(name: str) -> Callable[[bool], None]:
    """Counts the breaker of a server, which tells whether it is open now."""
    return lambda is_open: OPEN_BREAKERS.labels(name).inc(1 if is_open else -1)


INDEX_CHUNKS = Gauge(
    "ragserve_index_chunks",
    "Chunks in the indexes that the replicas of a search have in memory.",
    ["stage"],
    multiprocess_mode="livemax",
)
INDEX_FRESH = Gauge(
    "ragserve_index_fresh_timestamp_seconds",
    "Unix time at which the replica of a search that is furthest behind last had every change.",
    ["stage"],
    multiprocess_mode="livemin",
)
