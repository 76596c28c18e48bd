"""Every metric name, once. Base units; labels are bounded (routes, stages, outcomes), never ids or queries."""

from prometheus_client import Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

HTTP_REQUESTS = Counter("ragserve_http_requests_total", "HTTP requests.", ["method", "route", "status"])
HTTP_SECONDS = Histogram(
    "ragserve_http_request_seconds", "Time to the end of the response.", ["method", "route"], buckets=LATENCY_BUCKETS
)
STAGE_SECONDS = Histogram(
    "ragserve_stage_seconds",
    "Time of one call of a stage, as its caller saw it; outcome is ok or the error's code.",
    ["stage", "outcome"],
    buckets=LATENCY_BUCKETS,
)
DEGRADED_ANSWERS = Counter("ragserve_degraded_answers_total", "Answers that went without a stage.", ["stage"])
TIME_TO_FIRST_TEXT_SECONDS = Histogram(
    "ragserve_time_to_first_text_seconds", "From the question to the answer's first text.", buckets=LATENCY_BUCKETS
)
GENERATED_TOKENS = Counter("ragserve_generated_tokens_total", "Tokens that generation models wrote.", ["model"])
INGESTED_FILES = Counter("ragserve_ingested_files_total", "Files whose ingestion ended.", ["status"])
INGESTED_CHUNKS = Counter("ragserve_ingested_chunks_total", "Chunks that became searchable.")
INGESTIONS_RUNNING = Gauge("ragserve_ingestions_running", "Files that this ingress is ingesting now.")
