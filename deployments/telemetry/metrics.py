"""Every metric name, once. Units are base units. docs/observability.md has a line for each.

Labels are bounded (routes, stages, outcomes, aliases of the catalog, the first tenants), never ids or queries.
"""

from collections.abc import Callable

from deployments.telemetry.buffered_metrics import Counter, Gauge, Histogram
from deployments.telemetry.exposition import write_to_folder

write_to_folder()

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SHORT_BUCKETS = (0.0001, 0.00025, 0.0005, *LATENCY_BUCKETS)
SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
ROLLOUT_BUCKETS = (5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
FRACTION_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)

HTTP_REQUESTS = Counter("ragserve_http_requests_total", "HTTP requests.", ["method", "route", "status"])
HTTP_SECONDS = Histogram(
    "ragserve_http_request_seconds",
    "Time from the request to the end of its response.",
    ["method", "route"],
    buckets=LATENCY_BUCKETS,
)
STAGE_SECONDS = Histogram(
    "ragserve_stage_seconds",
    "Time of one call of a stage, measured by its caller; outcome is ok or the error's code. Probes are no calls.",
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
ADMISSION_LIMIT = Gauge(
    "ragserve_admission_limit", "Requests that the ingress replicas admit at once.", multiprocess_mode="livesum"
)
ADMISSION_ONGOING = Gauge(
    "ragserve_admission_ongoing_requests", "Admitted requests that have not ended.", multiprocess_mode="livesum"
)
ADMISSION_REFUSED = Counter("ragserve_admission_refused_total", "Requests refused at the limit.")
MODEL_SWAPS = Counter(
    "ragserve_model_swaps_total",
    "Models that were to be loaded; outcome is loaded, failed or rolled_back.",
    ["stage", "model", "outcome"],
)
DEPLOYMENT_STATE = Gauge(
    "ragserve_deployment_state",
    "1 for the state of a deployment that Ray Serve reports, such as healthy or updating; 0 for earlier ones.",
    ["deployment", "state"],
    multiprocess_mode="livemostrecent",
)
ROLLOUTS = Counter(
    "ragserve_rollouts_total",
    "Roll-outs of a deployment, counted once on each node with an ingress; outcome is started, finished or failed.",
    ["deployment", "outcome"],
)
ROLLOUT_SECONDS = Histogram(
    "ragserve_rollout_seconds",
    "Time of a roll-out of a deployment, to within 5 s; outcome is finished or failed.",
    ["deployment", "outcome"],
    buckets=ROLLOUT_BUCKETS,
)

QUESTION_SECONDS = Histogram(
    "ragserve_question_seconds",
    "Time of a question, to the end of its answer; outcome is cited, uncited, declined, small_talk, cancelled or the "
    "error's code.",
    ["outcome"],
    buckets=LATENCY_BUCKETS,
)
QUESTION_STAGE_SECONDS = Histogram(
    "ragserve_question_stage_seconds",
    "Time of a question by stage, along its longest path; overhead is what no stage has. The sums add up to that of "
    "ragserve_question_seconds, for questions that were answered.",
    ["stage"],
    buckets=LATENCY_BUCKETS,
)
CACHED_ANSWERS = Counter(
    "ragserve_cached_answers_total", "Answers that a cache gave, or a part of them, by the cache.", ["level"]
)
RETRIEVED_PASSAGES = Histogram(
    "ragserve_retrieved_passages", "Passages that an answer was written from.", buckets=(0, 1, 2, 3, 5, 8, 13, 21, 50)
)
TOP_SCORE = Histogram("ragserve_top_score", "Score of the best passage of an answer, 0 to 1.", buckets=FRACTION_BUCKETS)
EVIDENCE = Histogram("ragserve_evidence", "Evidence of an answer, 0 to 1.", buckets=FRACTION_BUCKETS)
GENERATION_TOKENS_PER_SECOND = Histogram(
    "ragserve_generation_tokens_per_second",
    "Tokens of an answer per second of its generation.",
    ["model"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000),
)
TENANT_REQUESTS = Counter(
    "ragserve_tenant_requests_total", "HTTP requests by tenant: the first ones by name, then other.", ["tenant"]
)
TENANT_TOKENS = Counter(
    "ragserve_tenant_tokens_total",
    "Tokens by tenant and model; kind is prompt, completion, embedding or reranking.",
    ["tenant", "model", "kind"],
)
TENANT_COST = Counter(
    "ragserve_tenant_cost_total", "Cost by the prices of `costs`, in its currency.", ["tenant", "model"]
)
TENANT_MONTH_COST = Gauge(
    "ragserve_tenant_month_cost",
    "Cost of a tenant in this calendar month (UTC), of all replicas; kept in the database.",
    ["tenant"],
    multiprocess_mode="livemostrecent",
)
TENANT_BUDGET = Gauge(
    "ragserve_tenant_monthly_budget",
    "Monthly budget of `costs`, in its currency.",
    ["tenant"],
    multiprocess_mode="livemostrecent",
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


DEGRADED_ANSWERS = Counter(
    "ragserve_degraded_answers_total", "Answers without the result of a stage that failed.", ["stage"]
)
PROMPT_ANSWERS = Counter(
    "ragserve_prompt_answers_total",
    "Answers by prompt set; outcome is cited, uncited, declined or small_talk. A canary has a label of its own.",
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
SAMPLED_ANSWERS = Counter(
    "ragserve_sampled_answers_total",
    "Answers of the sample; outcome is scored, unscored (a greeting) or dropped (too many waited).",
    ["outcome"],
)
ANSWER_SCORE = Histogram(
    "ragserve_answer_score",
    "Scores of the sample, 0 to 1; score is evidence, top_score, declined, support or citation_support.",
    ["score"],
    buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
)
SCORE_PSI = Gauge(
    "ragserve_score_psi",
    "Population stability index of the latest scores against the reference; above 0.25 is a large change.",
    ["score"],
    multiprocess_mode="livemax",
)
SCORE_KS = Gauge(
    "ragserve_score_ks",
    "Kolmogorov and Smirnov's distance of the latest scores and the reference, 0 to 1.",
    ["score"],
    multiprocess_mode="livemax",
)
SCORE_REFERENCE_SIZE = Gauge(
    "ragserve_score_reference_answers",
    "Scored answers of the reference, as far as it is gathered.",
    multiprocess_mode="livemax",
)
DOCUMENT_CANARY_RUNS = Counter(
    "ragserve_document_canary_runs_total",
    "Runs of the document canary; outcome is ok, or what failed: ingest, search, rerank, delete, error.",
    ["outcome"],
)
DOCUMENT_CANARY_FAILING = Gauge(
    "ragserve_document_canary_failing",
    "1 if the last two runs of the document canary failed in an ingress replica, 0 if not, or without a canary.",
    multiprocess_mode="livemax",
)
DOCUMENT_CANARY_SECONDS = Histogram(
    "ragserve_document_canary_seconds",
    "Time of a run of the document canary: ingested, found, deleted.",
    buckets=LATENCY_BUCKETS,
)
FEEDBACK = Counter("ragserve_feedback_total", "Feedback of users on answers, by rating: good or bad.", ["rating"])
GENERATED_TOKENS = Counter("ragserve_generated_tokens_total", "Tokens that generation models produced.", ["model"])
INGESTED_FILES = Counter("ragserve_ingested_files_total", "Files whose ingestion ended, by status.", ["status"])
INGESTED_CHUNKS = Counter("ragserve_ingested_chunks_total", "Chunks that became searchable.")
INGESTIONS_RUNNING = Gauge(
    "ragserve_ingestions_running", "Files that this ingress replica is ingesting.", multiprocess_mode="livesum"
)
INGESTION_OLDEST_SECONDS = Gauge(
    "ragserve_ingestion_oldest_seconds",
    "Age of the oldest file that this ingress replica is ingesting, by state: parsing or embedding.",
    ["state"],
    multiprocess_mode="livemax",
)
INGESTION_RETRIES = Counter(
    "ragserve_ingestion_retries_total", "Attempts that failed and are repeated, by the error's code.", ["reason"]
)
INGESTION_BACKLOG = Gauge(
    "ragserve_ingestion_backlog_files",
    "Files of all tenants that wait for ingestion or are in it; counted with each clean-up.",
    multiprocess_mode="livemostrecent",
)
INGESTION_BACKLOG_SECONDS = Gauge(
    "ragserve_ingestion_backlog_oldest_seconds",
    "Time since the oldest of these files was due; counted with each clean-up.",
    multiprocess_mode="livemostrecent",
)
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
DEAD_LETTERS = Gauge(
    "ragserve_dead_letters",
    "Files of all tenants whose ingestion failed for good, by reason; counted with each clean-up.",
    ["reason"],
    multiprocess_mode="livemostrecent",
)
EVENT_DELIVERIES = Counter(
    "ragserve_event_deliveries_total",
    "Deliveries of events; outcome is delivered, refused, timeout or unreachable.",
    ["sink", "outcome"],
)
EVENTS_DROPPED = Counter(
    "ragserve_events_dropped_total", "Events that were given up; reason is expired or full.", ["sink", "reason"]
)
OUTBOX_EVENTS = Gauge(
    "ragserve_outbox_events",
    "Events that wait for delivery, of all tenants.",
    ["sink"],
    multiprocess_mode="livemostrecent",
)
OUTBOX_AGE_SECONDS = Gauge(
    "ragserve_outbox_age_seconds", "Age of the oldest event that waits.", ["sink"], multiprocess_mode="livemostrecent"
)

BACKUPS = Counter(
    "ragserve_backups_total",
    "Rounds of the scheduled backup; outcome is made, not_due, busy (another process makes one) or failed.",
    ["outcome"],
)
BACKUP_NEWEST = Gauge(
    "ragserve_backup_newest_timestamp_seconds",
    "Unix time at which the newest backup began: what was written later would be lost.",
    multiprocess_mode="livemax",
)
BACKUP_DUE = Gauge(
    "ragserve_backup_due_timestamp_seconds",
    "Unix time at which the next scheduled backup is due.",
    multiprocess_mode="livemax",
)
BACKUP_SECONDS = Gauge(
    "ragserve_backup_seconds", "Time that the last scheduled backup took.", multiprocess_mode="livemostrecent"
)

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


def observe_model(stage: str, model: str, seconds: float, failed_canary: str = "") -> None:
    """Count an answer under its model. The time includes that of a canary that failed first."""
    MODEL_SECONDS.labels(stage, model).observe(seconds)
    if failed_canary:
        CANARY_FAILURES.labels(stage, failed_canary).inc()


class FirstNames:
    """Bounds a label: the first `limit` names stay, further ones become `other`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._names = set[str]()

    def label(self, name: str) -> str:
        if name not in self._names:
            if len(self._names) >= self.limit:
                return "other"
            self._names.add(name)
        return name


TENANT_NAMES = FirstNames(50)  # `costs.max_tenants` changes it
