"""Answers and passages from the documents that a caller may read: a filter below whatever the request asks for."""

from collections.abc import AsyncGenerator
from dataclasses import replace

from models.filters import Compound, Filter
from models.types.request_context import RequestContext
from serve.pipelines.answering import Answering, Event, Query
from serve.pipelines.retrieving import RetrievalQuery, Retrieved, Retrieving
from serve.pipelines.trace import Trace


class ReadableAnswering:
    """Wraps answers. The filter is a part of the query, so that caches keep the answers of other readers apart."""

    def __init__(self, answering: Answering, readable: Filter) -> None:
        self._answering, self._readable = answering, readable

    def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        return self._answering.answer(replace(query, where=_both(query.where, self._readable)), context)


class ReadableRetrieval:
    """Wraps retrieval."""

    def __init__(self, retrieving: Retrieving, readable: Filter) -> None:
        self._retrieving, self._readable = retrieving, readable

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        return await self._retrieving.retrieve(replace(query, where=_both(query.where, self._readable)), context, trace)


def _both(where: Filter | None, readable: Filter) -> Filter:
    return readable if where is None else Compound("and", (readable, where))
