"""Metrics around answers."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from deployments.telemetry.metrics.questions import (
    ANSWER_CITATIONS,
    DEGRADED_ANSWERS,
    FIRST_CITED_RANK,
    TIME_TO_FIRST_TEXT_SECONDS,
)
from deployments.telemetry.metrics.serving_models import GENERATED_TOKENS, GENERATION_TOKENS_PER_SECOND
from models.types.request_context import RequestContext
from serve.pipelines.answering import (
    Answered,
    Answering,
    CallGenerated,
    Event,
    PassagesFound,
    Query,
    TextGenerated,
)
from serve.pipelines.metering import Metering, estimated_tokens
from serve.pipelines.recent_answers import RecentAnswers


@dataclass
class _Unfinished:
    """What was read and written of an answer that has not ended."""

    num_read_chars: int
    num_written_chars: int = 0

    def add(self, event: Event) -> None:
        if isinstance(event, PassagesFound):
            self.num_read_chars += sum(len(passage.text) for passage in event.passages)
        elif isinstance(event, TextGenerated):
            self.num_written_chars += len(event.text)
        elif isinstance(event, CallGenerated):
            self.num_written_chars += len(event.piece.arguments)


class ObservedAnswering:
    """Counts and measures each answer that models made, and what they used for it. It changes no event."""

    def __init__(self, answering: Answering, metering: Metering, recent: RecentAnswers) -> None:
        self._answering, self._metering, self._recent = answering, metering, recent

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering."""
        unfinished: _Unfinished | None = _Unfinished(sum(len(message.content) for message in query.messages))
        try:
            async with aclosing(self._answering.answer(query, context)) as events:
                async for event in events:
                    if isinstance(event, Answered):
                        unfinished = None
                        _observe(event)
                        _observe_citations(event)
                        self._meter(event, context.tenant)
                        self._recent.add(event.trace.degraded)
                    elif unfinished is not None:
                        unfinished.add(event)
                    yield event
        finally:
            if unfinished is not None and unfinished.num_written_chars:
                self._meter_unfinished(unfinished, context.tenant)

    def _meter_unfinished(self, unfinished: "_Unfinished", tenant: str) -> None:
        """Else a client that leaves before the end would use no tokens. No event says which model it was."""
        self._metering.read(tenant, "", "prompt", estimated_tokens(unfinished.num_read_chars))
        self._metering.wrote(tenant, "", estimated_tokens(unfinished.num_written_chars))

    def _meter(self, answered: Answered, tenant: str) -> None:
        model = answered.trace.models.get("generate", "")
        self._metering.read(tenant, model, "prompt", answered.num_prompt_tokens)
        self._metering.wrote(tenant, model, answered.num_completion_tokens)


def _observe(answered: Answered) -> None:
    trace = answered.trace
    for stage in trace.degraded:
        DEGRADED_ANSWERS.labels(stage).inc()
    if "first_text" in trace.timings_s:
        TIME_TO_FIRST_TEXT_SECONDS.observe(trace.timings_s["first_text"])
    if "generate" in trace.models:
        model, num_tokens = trace.models["generate"], answered.num_completion_tokens
        GENERATED_TOKENS.labels(model).inc(num_tokens)
        if (generate_s := trace.timings_s.get("generate")) and num_tokens:
            GENERATION_TOKENS_PER_SECOND.labels(model).observe(num_tokens / generate_s)


def _observe_citations(answered: Answered) -> None:
    """Two measures that tell models apart: citations in an answer, and the rank of the first cited passage."""
    models = answered.trace.models
    if "generate" not in models:  # declined
        return
    cited_keys = {citation.passage.key for citation in answered.citations}
    ANSWER_CITATIONS.labels(models["generate"]).observe(len(cited_keys))
    ranks = [rank for rank, passage in enumerate(answered.passages, 1) if passage.key in cited_keys]
    if ranks and "rerank" in models:
        FIRST_CITED_RANK.labels(models["rerank"]).observe(ranks[0])
