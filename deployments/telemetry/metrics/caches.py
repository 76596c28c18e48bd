"""The caches of an ingress replica, and their server."""

from deployments.telemetry.buffered_metrics import Counter, Gauge

CACHE_HITS = Counter(
    "ragserve_cache_hits_total",
    "Entries that a cache had; level is answers, retrieval or embeddings, tier is memory or redis.",
    ["level", "tier"],
)
CACHE_MISSES = Counter(
    "ragserve_cache_misses_total", "Entries that a cache did not have. A miss in memory asks Redis.", ["level", "tier"]
)
CACHE_SHARED = Counter(
    "ragserve_cache_shared_total", "Requests that shared the computation of an equal one under way.", ["level"]
)
CACHE_EVICTIONS = Counter(
    "ragserve_cache_evictions_total", "Entries that a full memory dropped before their time was over.", ["level"]
)
CACHE_BYTES = Gauge(
    "ragserve_cache_bytes",
    "Size of a cache in the memory of this ingress replica.",
    ["level"],
    multiprocess_mode="livesum",
)
CACHE_ERRORS = Counter(
    "ragserve_cache_errors_total", "Calls of a cache's server that failed or were late, and broken entries.", ["tier"]
)
