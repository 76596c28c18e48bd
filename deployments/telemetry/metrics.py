"""Every metric name, once. Base units; labels are bounded (routes, stages, outcomes, the catalog's aliases), never ids
or queries.
"""

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
MODEL_SECONDS = Histogram(
    "ragserve_model_seconds",
    "Time of one answer of a stage's model, as its caller saw it: a canary beside the model that it is to replace.",
    ["stage", "model"],
    buckets=LATENCY_BUCKETS,
)
CANARY_FAILURES = Counter(
    "ragserve_canary_failures_total",
    "Requests that a canary failed at, and its stage's model answered.",
    ["stage", "model"],
)
ANSWER_CITATIONS = Histogram(
    "ragserve_answer_citations",
    "Distinct passages that an answer cites, by the model that wrote it.",
    ["model"],
    buckets=(0, 1, 2, 3, 5, 8, 13),
)
FIRST_CITED_RANK = Histogram(
    "ragserve_first_cited_rank",
    "Place, from 1, of the best passage that an answer cites, by the model that ranked the passages.",
    ["model"],
    buckets=(1, 2, 3, 5, 8, 13, 21),
)
DEGRADED_ANSWERS = Counter("ragserve_degraded_answers_total", "Answers that went without a stage.", ["stage"])
TIME_TO_FIRST_TEXT_SECONDS = Histogram(
    "ragserve_time_to_first_text_seconds", "From the question to the answer's first text.", buckets=LATENCY_BUCKETS
)
GENERATED_TOKENS = Counter("ragserve_generated_tokens_total", "Tokens that generation models wrote.", ["model"])
INGESTED_FILES = Counter("ragserve_ingested_files_total", "Files whose ingestion ended.", ["status"])
INGESTED_CHUNKS = Counter("ragserve_ingested_chunks_total", "Chunks that became searchable.")
INGESTIONS_RUNNING = Gauge("ragserve_ingestions_running", "Files that this ingress is ingesting now.")


def observe_model(stage: str, model: str, seconds: float, failed_canary: str = "") -> None:
    """Counts an answer under the model that gave it; the time includes that of a canary that failed at it first."""
    MODEL_SECONDS.labels(stage, model).observe(seconds)
    if failed_canary:
        CANARY_FAILURES.labels(stage, failed_canary).inc()
