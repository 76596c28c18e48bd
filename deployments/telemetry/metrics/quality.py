"""The question log, scores of a sample and their drift, the document canary, feedback of users."""

from deployments.telemetry.buffered_metrics import Counter, Gauge, Histogram
from deployments.telemetry.metrics.buckets import LATENCY_BUCKETS

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
