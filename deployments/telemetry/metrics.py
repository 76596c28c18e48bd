"""Every metric name, once. Units are base units. Labels are bounded (routes, stages, outcomes, the catalog's aliases),
never ids or queries.
"""

from prometheus_client import Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

HTTP_REQUESTS = Counter("ragserve_http_requests_total", "HTTP requests.", ["method", "route", "status"])
HTTP_SECONDS = Histogram(
    "ragserve_http_request_seconds",
    "Time from the request to the end of its response.",
    ["method", "route"],
    buckets=LATENCY_BUCKETS,
)
STAGE_SECONDS = Histogram(
    "ragserve_stage_seconds",
    "Time of one call of a stage, measured by its caller; outcome is ok or the error's code.",
    ["stage", "outcome"],
    buckets=LATENCY_BUCKETS,
)
MODEL_SECONDS = Histogram(
    "ragserve_model_seconds",
    "Time of one answer of a stage's model, measured by its caller. A canary has a label of its own.",
    ["stage", "model"],
    buckets=LATENCY_BUCKETS,
)
CANARY_FAILURES = Counter(
    "ragserve_canary_failures_total",
    "Requests that a canary failed, and that the serving model answered instead.",
    ["stage", "model"],
)
RERANKED_CANDIDATES = Counter(
    "ragserve_reranked_candidates_total",
    "Candidates that were reranked, by the source of their score: stored token vectors, or computed by the Reranker.",
    ["source"],
)
ANSWER_CITATIONS = Histogram(
    "ragserve_answer_citations",
    "Distinct passages that an answer cites, by the generation model.",
    ["model"],
    buckets=(0, 1, 2, 3, 5, 8, 13),
)
FIRST_CITED_RANK = Histogram(
    "ragserve_first_cited_rank",
    "Rank, from 1, of the best passage that an answer cites, by the reranking model.",
    ["model"],
    buckets=(1, 2, 3, 5, 8, 13, 21),
)
DEGRADED_ANSWERS = Counter(
    "ragserve_degraded_answers_total", "Answers without the result of a stage that failed.", ["stage"]
)
PROMPT_ANSWERS = Counter(
    "ragserve_prompt_answers_total",
    "Answers by prompt set; outcome is cited, uncited or declined. A canary has a label of its own.",
    ["prompt", "outcome"],
)
TIME_TO_FIRST_TEXT_SECONDS = Histogram(
    "ragserve_time_to_first_text_seconds",
    "Time from the question to the first text of its answer.",
    buckets=LATENCY_BUCKETS,
)
LOGGED_QUESTIONS = Counter(
    "ragserve_logged_questions_total", "Rows of the question log; outcome is written or dropped.", ["outcome"]
)
FEEDBACK = Counter("ragserve_feedback_total", "Feedback of users on answers, by rating: good or bad.", ["rating"])
GENERATED_TOKENS = Counter("ragserve_generated_tokens_total", "Tokens that generation models produced.", ["model"])
INGESTED_FILES = Counter("ragserve_ingested_files_total", "Files whose ingestion ended, by status.", ["status"])
INGESTED_CHUNKS = Counter("ragserve_ingested_chunks_total", "Chunks that became searchable.")
INGESTIONS_RUNNING = Gauge("ragserve_ingestions_running", "Files that this ingress replica is ingesting.")
INGESTION_OLDEST_SECONDS = Gauge(
    "ragserve_ingestion_oldest_seconds",
    "Age of the oldest file that this ingress replica is ingesting, by state: parsing or embedding.",
    ["state"],
)
INGESTION_RETRIES = Counter(
    "ragserve_ingestion_retries_total", "Attempts that failed and are repeated, by the error's code.", ["reason"]
)
DEAD_LETTERS = Gauge(
    "ragserve_dead_letters",
    "Files of all tenants whose ingestion failed for good, by reason; counted with each clean-up.",
    ["reason"],
)
EVENT_DELIVERIES = Counter(
    "ragserve_event_deliveries_total",
    "Deliveries of events; outcome is delivered, refused, timeout or unreachable.",
    ["sink", "outcome"],
)
EVENTS_DROPPED = Counter(
    "ragserve_events_dropped_total", "Events that were given up; reason is expired or full.", ["sink", "reason"]
)
OUTBOX_EVENTS = Gauge("ragserve_outbox_events", "Events that wait for delivery, of all tenants.", ["sink"])
OUTBOX_AGE_SECONDS = Gauge("ragserve_outbox_age_seconds", "Age of the oldest event that waits.", ["sink"])

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
CACHE_BYTES = Gauge("ragserve_cache_bytes", "Size of a cache in the memory of this ingress replica.", ["level"])
CACHE_ERRORS = Counter(
    "ragserve_cache_errors_total", "Calls of a cache's server that failed or were late, and broken entries.", ["tier"]
)


def observe_model(stage: str, model: str, seconds: float, failed_canary: str = "") -> None:
    """Count an answer under its model. The time includes that of a canary that failed first."""
    MODEL_SECONDS.labels(stage, model).observe(seconds)
    if failed_canary:
        CANARY_FAILURES.labels(stage, failed_canary).inc()
