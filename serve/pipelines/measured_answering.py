"""Metrics of whole questions, those from a cache and those that failed included."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from deployments.telemetry import gen_ai
from deployments.telemetry.metrics.questions import (
    CACHED_ANSWERS,
    EVIDENCE,
    QUESTION_SECONDS,
    QUESTION_STAGE_SECONDS,
    RETRIEVED_PASSAGES,
    TOP_SCORE,
)
from deployments.telemetry.spans import Value, annotate
from models.errors.base import RagError
from models.types.request_context import RequestContext
from serve.pipelines.answering import Answered, Answering, Event, Query
from serve.pipelines.trace import longest_path


class MeasuredAnswering:
    """Times each question, and counts it by its outcome. It changes no event."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering."""
        start, outcome, answered = time.perf_counter(), "cancelled", None
        try:
            async with aclosing(self._answering.answer(query, context)) as events:
                async for event in events:
                    if isinstance(event, Answered):
                        answered, outcome = event, event.outcome
                    yield event
        except RagError as error:
            outcome = error.code
            raise
        finally:
            _observe(outcome, answered, time.perf_counter() - start)


def _observe(outcome: str, answered: Answered | None, total_s: float) -> None:
    QUESTION_SECONDS.labels(outcome).observe(total_s)
    annotate({"ragserve.outcome": outcome})
    if answered is None:
        return
    annotate(_attributes(answered))
    for stage, seconds in longest_path(answered.trace.timings_s, total_s).items():
        QUESTION_STAGE_SECONDS.labels(stage).observe(seconds)
    for cache in answered.trace.cached:
        CACHED_ANSWERS.labels(cache).inc()
    if answered.is_small_talk:  # nothing was searched, and nothing weighed
        return
    RETRIEVED_PASSAGES.observe(len(answered.passages))
    if answered.passages:
        TOP_SCORE.observe(answered.passages[0].score)
    if answered.evidence is not None:
        EVIDENCE.observe(answered.evidence)


def _attributes(answered: Answered) -> dict[str, Value]:
    """Of the trace, without any text."""
    trace = answered.trace
    return {
        gen_ai.RESPONSE_MODEL: trace.models.get("generate", ""),
        gen_ai.INPUT_TOKENS: answered.num_prompt_tokens,
        gen_ai.OUTPUT_TOKENS: answered.num_completion_tokens,
        "ragserve.degraded": tuple(trace.degraded),
        "ragserve.cached": tuple(trace.cached),
        "ragserve.passages": len(answered.passages),
    }
