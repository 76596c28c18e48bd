"""Requests over HTTP, and those that an ingress replica admits at once."""

from deployments.telemetry.buffered_metrics import Counter, Gauge, Histogram
from deployments.telemetry.metrics.buckets import LATENCY_BUCKETS

HTTP_REQUESTS = Counter("ragserve_http_requests_total", "HTTP requests.", ["method", "route", "status"])
HTTP_SECONDS = Histogram(
    "ragserve_http_request_seconds",
    "Time from the request to the end of its response.",
    ["method", "route"],
    buckets=LATENCY_BUCKETS,
)
ADMISSION_LIMIT = Gauge(
    "ragserve_admission_limit", "Requests that the ingress replicas admit at once.", multiprocess_mode="livesum"
)
ADMISSION_ONGOING = Gauge(
    "ragserve_admission_ongoing_requests", "Admitted requests that have not ended.", multiprocess_mode="livesum"
)
ADMISSION_REFUSED = Counter("ragserve_admission_refused_total", "Requests refused at the limit.")
