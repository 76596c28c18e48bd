"""A cache around answers: the events of an answer, replayed in their order."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from models.types.request_context import RequestContext
from serve.caching.codec import decode_events, encode_events
from serve.caching.flights import Flights
from serve.caching.keys import ResultKey, ResultKeys, digest, is_current
from serve.caching.level import CacheLevel
from serve.pipelines.answering import Answered, Answering, Event, Query, TextGenerated
from serve.pipelines.query import QueryConfig
from serve.pipelines.retrieve import RetrievalConfig
from serve.pipelines.trace import Trace

STAGES = ("dense", "lexical", "rerank", "generate")


@dataclass(frozen=True)
class AnswerSettings:
    """The settings that change answers."""

    query: QueryConfig
    retrieval: RetrievalConfig


class CachedAnswering:
    """Satisfies Answering. An answer is stored if it is fixed: by a model that samples nothing, or at temperature 0.

    It is not stored if a stage failed, or if anything that it depends on changed meanwhile.
    """

    def __init__(
        self,
        answering: Answering,
        level: CacheLevel,
        flights: Flights[Event],
        keys: ResultKeys,
        settings: AnswerSettings,
    ) -> None:
        self._answering, self._level, self._flights = answering, level, flights
        self._keys, self._total_s = keys, settings.query.total_s
        self._settings = digest(settings)

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering."""
        async with aclosing(await self._events(query, context)) as events:
            async for event in events:
                yield event

    async def _events(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        trace = Trace()
        key = await self._key(query) if context.use_caches else None  # None: caches are refused, or cannot answer
        if key is None:
            return self._answering.answer(query, context)
        stored = await self._level.get_decoded(key.digest, decode_events)
        trace.timings_s["cache"] = trace.elapsed_s()
        if stored is not None:
            return self._replayed(stored, trace)
        context = context.at_most(self._total_s)
        if context.is_hurried:
            return self._computed(key, query, context)
        return self._shared(key, query, context, trace)

    async def _key(self, query: Query) -> ResultKey | None:
        key = await self._keys.of(query.scope, query, self._settings)
        return key if key is not None and self._is_fixed(query, key) else None

    def _is_fixed(self, query: Query, key: ResultKey) -> bool:
        if query.functions is not None:
            return False  # what a function returns changes
        return query.sampling.temperature == 0 or self._keys.serving.is_extractive(key.models["generate"])

    async def _replayed(self, events: Sequence[Event], trace: Trace) -> AsyncGenerator[Event, None]:
        for event in self._retraced(events, trace):
            yield event

    async def _shared(
        self, key: ResultKey, query: Query, context: RequestContext, trace: Trace
    ) -> AsyncGenerator[Event, None]:
        """The leader's events as they come. For any other reader they have its own times."""
        leads = False

        def source() -> AsyncGenerator[Event, None]:
            nonlocal leads
            leads = True
            return self._computed(key, query, context)

        async with aclosing(self._flights.read(key.digest, source, context.deadline)) as events:
            async for event in events:
                for own in (event,) if leads else self._retraced((event,), trace):
                    yield own

    def _retraced(self, events: Sequence[Event], trace: Trace) -> Iterator[Event]:
        for event in events:
            if isinstance(event, TextGenerated):
                trace.timings_s.setdefault("first_text", trace.elapsed_s())
            if not isinstance(event, Answered):
                yield event
                continue
            trace.timings_s["total"] = trace.elapsed_s()
            trace.take_over(event.trace)
            trace.searches += event.trace.searches
            trace.cached.append(self._level.name)
            yield replace(event, trace=trace)

    async def _computed(self, key: ResultKey, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        events: list[Event] = []
        async with aclosing(self._answering.answer(query, context)) as computed:
            async for event in computed:
                events.append(event)
                if isinstance(event, Answered):
                    await self._store(key, query, events, event.trace)
                yield event

    async def _store(self, key: ResultKey, query: Query, events: Sequence[Event], trace: Trace) -> None:
        if not key.fits(trace.models):
            self._keys.serving.expire()
        elif not trace.degraded and await is_current(key, self._key(query)):
            self._level.put_encoded(key.digest, encode_events, events)
