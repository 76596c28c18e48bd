"""Filters that stand in a question: only the files that it names are searched."""

import asyncio
from collections import OrderedDict
from dataclasses import replace
from typing import Protocol

from models.corpus.facets import Facets
from models.corpus.views import SearchedStore
from models.filters import Compound, Filter
from models.retrieval.drawn_filters import DrawnFilter, FilterIndex
from models.types.request_context import RequestContext
from models.types.scope import Scope
from serve.pipelines.retrieving import RetrievalQuery, Retrieved, Retrieving
from serve.pipelines.trace import Search, Trace
from serve.pipelines.understanding import UnderstandingConfig, is_chosen

MAX_INDEXES = 16  # one for each searched scope
DEPTH = 50  # passages among which those of a named file are looked for


class FacetSource(Protocol):
    def searched_state(self, scope: Scope) -> tuple[SearchedStore, ...]:
        """As models.corpus.views.Views. Blocks."""

    def facets(self, scope: Scope) -> Facets:
        """What the files can be told apart by. Blocks."""


class FilteredRetrieval:
    """Satisfies Retrieving. If that is switched on, a question that names files or attributes is searched there alone.

    Where that leaves nothing, all files are searched, and the trace says so.
    """

    def __init__(self, retrieval: Retrieving, source: FacetSource, config: UnderstandingConfig) -> None:
        self._retrieval, self._source, self._config = retrieval, source, config
        self._indexes: OrderedDict[tuple[Scope, tuple[SearchedStore, ...]], tuple[Facets, FilterIndex]] = OrderedDict()

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """As Retrieving."""
        if not is_chosen(query.options.understanding.filters, self._config.filters):
            return await self._retrieval.retrieve(query, context, trace)
        trace = trace or Trace()
        drawn = await self._drawn(query)
        if drawn is None:
            return await self._retrieval.retrieve(query, context, trace)
        narrowed = await self._narrowed(query, drawn, context, trace)
        trace.searches.append(Search("filtered", query.text, drawn.shown, is_dropped=not narrowed.passages))
        return narrowed if narrowed.passages else await self._retrieval.retrieve(query, context, trace)

    async def _drawn(self, query: RetrievalQuery) -> DrawnFilter | None:
        """The filter that stands in the question, of the files that the request's own filters let it find.

        A value or a name of any other file, such as one without the caller among its readers, says that it exists.
        """
        facets, index = await self._index(query.scope)
        drawn = index.draw(query.text)
        if drawn is None or query.where is None:
            return drawn
        findable = await asyncio.to_thread(facets.of_matching, query.where)
        return drawn.among(findable.values, findable.filenames)

    async def _narrowed(
        self, query: RetrievalQuery, drawn: DrawnFilter, context: RequestContext, trace: Trace
    ) -> Retrieved:
        where = _both(query.where, drawn.where)
        if not drawn.filenames:
            return await self._retrieval.retrieve(replace(query, where=where), context, trace)
        deep = replace(query, where=where, top_k=max(DEPTH, query.top_k))
        retrieved = await self._retrieval.retrieve(deep, context, trace)
        names = [passage.filename for passage in retrieved.passages]
        places = [place for place, name in enumerate(names) if name in drawn.filenames][: query.top_k]
        return replace(
            retrieved,
            passages=tuple(retrieved.passages[place] for place in places),
            sentence_scores=tuple(retrieved.sentence_scores[place] for place in places if retrieved.sentence_scores),
            evidence=None,
        )

    async def _index(self, scope: Scope) -> tuple[Facets, FilterIndex]:
        """The values of the scope as it is now."""
        key = (scope, await asyncio.to_thread(self._source.searched_state, scope))
        if key not in self._indexes:
            facets = await asyncio.to_thread(self._source.facets, scope)
            index = await asyncio.to_thread(FilterIndex.of, facets.values, facets.filenames)
            self._indexes[key] = (facets, index)
            if len(self._indexes) > MAX_INDEXES:
                self._indexes.popitem(last=False)
        self._indexes.move_to_end(key)
        return self._indexes[key]


def _both(left: Filter | None, right: Filter | None) -> Filter | None:
    filters = tuple(each for each in (left, right) if each is not None)
    return Compound("and", filters) if len(filters) == 2 else next(iter(filters), None)
