"""A change of topic: a follow-up that finds nothing together with the question before it is searched alone."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from models.errors.base import RagError
from models.generation.follow_up import stands_alone
from models.types.request_context import RequestContext
from serve.pipelines.answering import Answered, Answering, Event, PassagesFound, Query
from serve.pipelines.failures import attempt


class ChangedTopicAnswering:
    """Searches a last message that is complete by itself once more, alone, if the completed question has no answer.

    The answer is that of the second search if that has evidence, else that of the first. Any other question is
    searched once.
    """

    def __init__(self, answering: Answering, total_s: float) -> None:
        """`total_s`: time for both."""
        self._answering, self._total_s = answering, total_s

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering."""
        is_completed = query.search_query not in ("", query.text)
        if is_completed and stands_alone(query.text):
            events = self._first_answerable(query, context.at_most(self._total_s))
        else:
            events = self._answering.answer(query, context)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _first_answerable(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """The first answer waits while the second is searched: nothing is generated until one is chosen."""
        start = time.perf_counter()
        async with aclosing(self._answering.answer(query, context)) as first:
            passages = await anext(first)
            if not _has_answer(passages):
                async with aclosing(self._answering.answer(replace(query, search_query=""), context)) as second:
                    passages_alone = await attempt(_next(second))
                    if not isinstance(passages_alone, RagError) and _has_answer(passages_alone):
                        waited_s = time.perf_counter() - start
                        await first.aclose()
                        yield passages_alone
                        async for event in second:
                            yield _later(event, waited_s)
                        return
            yield passages
            async for event in first:
                yield event


async def _next(events: AsyncGenerator[Event, None]) -> Event:
    return await anext(events)


def _has_answer(event: Event) -> bool:
    return not isinstance(event, PassagesFound) or event.answerable


def _later(event: Event, seconds: float) -> Event:
    """The whole answer, with the time of the first search."""
    if not isinstance(event, Answered):
        return event
    trace, late = event.trace, ("first_text", "total")
    timings_s = {name: value + seconds * (name in late) for name, value in trace.timings_s.items()}
    return replace(event, trace=replace(trace, timings_s=timings_s))
