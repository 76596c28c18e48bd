"""The models of the stages: their answers, swaps, canaries and tokens."""

from deployments.telemetry.buffered_metrics import Counter, Histogram
from deployments.telemetry.metrics.buckets import LATENCY_BUCKETS

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
MODEL_SWAPS = Counter(
    "ragserve_model_swaps_total",
    "Models that were to be loaded; outcome is loaded, failed or rolled_back.",
    ["stage", "model", "outcome"],
)
GENERATION_TOKENS_PER_SECOND = Histogram(
    "ragserve_generation_tokens_per_second",
    "Tokens of an answer per second of its generation.",
    ["model"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000),
)
GENERATED_TOKENS = Counter("ragserve_generated_tokens_total", "Tokens that generation models produced.", ["model"])


def observe_model(stage: str, model: str, seconds: float, failed_canary: str = "") -> None:
    """Count an answer under its model. The time includes that of a canary that failed first."""
    MODEL_SECONDS.labels(stage, model).observe(seconds)
    if failed_canary:
        CANARY_FAILURES.labels(stage, failed_canary).inc()
