"""Questions and their answers: time, evidence, citations, and what was degraded."""

from deployments.telemetry.buffered_metrics import Counter, Histogram
from deployments.telemetry.metrics.buckets import FRACTION_BUCKETS, LATENCY_BUCKETS

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
