"""A log line for each question that took long, with the time of each stage."""

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from models.types.request_context import RequestContext
from serve.pipelines.answering import Answered, Answering, Event, Query

logger = logging.getLogger("ragserve.slow")


class LogConfig(BaseModel):
    """What is logged of questions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slow_question_s: float = Field(
        default=10.0, ge=0, le=3600, description="A question that takes longer is logged, in seconds; 0 logs each."
    )
    texts: bool = Field(default=False, description="Log the text of a slow question too.")


class SlowQuestions:
    """Logs slow questions as warnings. It changes no event."""

    def __init__(self, answering: Answering, config: LogConfig) -> None:
        self._answering, self._config = answering, config

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering."""
        start, fields = time.perf_counter(), dict[str, Any](outcome="unfinished")
        try:
            async with aclosing(self._answering.answer(query, context)) as events:
                async for event in events:
                    if isinstance(event, Answered):
                        fields = _fields(event)
                    yield event
        finally:
            self._log(query, fields, time.perf_counter() - start)

    def _log(self, query: Query, fields: dict[str, Any], elapsed_s: float) -> None:
        if elapsed_s < self._config.slow_question_s:
            return
        fields["elapsed_s"] = round(elapsed_s, 3)
        if self._config.texts:
            fields["question"] = query.text
        stages = ", ".join(f"{stage} {seconds:.3g} s" for stage, seconds in fields.get("stages_s", {}).items())
        logger.warning("slow question: %.3g s; %s", elapsed_s, stages or "no answer", extra=fields)


def _fields(answered: Answered) -> dict[str, Any]:
    trace = answered.trace
    return {
        "outcome": "answered" if answered.answerable else "declined",
        "stages_s": {stage: round(seconds, 4) for stage, seconds in trace.timings_s.items()},
        "models": dict(trace.models),
        "degraded": list(trace.degraded),
        "cached": list(trace.cached),
        "prompt_tokens": answered.num_prompt_tokens,
        "completion_tokens": answered.num_completion_tokens,
    }
