"""Requests that say `degrade: never`: an error, where others get a result without the work of a stage."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from models.errors.base import RagError
from models.errors.stages import DegradedError
from models.types.request_context import RequestContext
from serve.pipelines.answering import Answered, Answering, Event, Query
from serve.pipelines.failures import STAGE_FAILURES
from serve.pipelines.retrieving import Degrade, RetrievalQuery, Retrieved, Retrieving
from serve.pipelines.trace import Trace, stage_of


class UndegradedRetrieval:
    """Satisfies Retrieving. Raises DegradedError for such a request if a stage was left out."""

    def __init__(self, retrieval: Retrieving) -> None:
        self._retrieval = retrieval

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """As Retrieving."""
        try:
            retrieved = await self._retrieval.retrieve(query, context, trace)
        except STAGE_FAILURES as error:
            raise _as_degraded(error, query.options.degrade) from None
        _check(retrieved.trace, query.options.degrade)
        return retrieved


class UndegradedAnswering:
    """Satisfies Answering. As UndegradedRetrieval; in a stream the error comes in place of the end."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering."""
        degrade = query.options.degrade
        try:
            async with aclosing(self._answering.answer(query, context)) as events:
                async for event in events:
                    if isinstance(event, Answered):
                        _check(event.trace, degrade)
                    yield event
        except STAGE_FAILURES as error:
            raise _as_degraded(error, degrade) from None


def _check(trace: Trace, degrade: Degrade) -> None:
    if degrade == "never" and trace.degraded:
        name = trace.degraded[0]
        raise DegradedError(name, trace.reasons.get(name, name))


def _as_degraded(error: RagError, degrade: Degrade) -> RagError:
    if degrade == "allow" or isinstance(error, DegradedError):
        return error
    return DegradedError(stage_of(error), f"{stage_of(error)} {error.code}")
