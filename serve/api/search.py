"""POST /v1/vector_stores/{id}/search in OpenAI's shape: passages, without an answer."""

import asyncio
import hashlib
import re
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from models.errors.base import RagError
from models.errors.requests import InvalidRequestError
from models.generation.keyword_query import rewrite
from models.index.fusion import Fusion, fuse, ranking_of
from models.types.chunks import Passage
from models.types.request_context import RequestContext
from models.types.scope import Scope
from serve.api.context import ContextDep
from serve.api.disconnect import cancel_on_disconnect
from serve.api.evidence import to_location
from serve.api.filters import FilterBody, to_filter
from serve.api.query_text import QueryText, check_query_texts
from serve.api.ranking import DegradeOption, NumResults, RankingOptions, SearchMode, to_options
from serve.api.services import Services, ServicesDep, TenantRoute
from serve.api.understanding import SearchUnderstanding, searches_json
from serve.pipelines.failures import attempt
from serve.pipelines.retrieving import RetrievalQuery, Retrieved

router = APIRouter(route_class=TenantRoute)

MAX_QUERIES = 16
MAX_PAGED_RESULTS = 500  # pages end here
PAGE_TOKEN = re.compile(r"page_([0-9]{1,3})_([0-9a-f]{16})")


class SearchRequest(BaseModel):
    """OpenAI's request, with our own `mode` and `page`. Several queries are searched separately and merged by rank."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: QueryText | Annotated[tuple[QueryText, ...], Field(min_length=1, max_length=MAX_QUERIES)]
    filters: FilterBody | None = Field(default=None, description="Search only files whose attributes match.")
    max_num_results: NumResults = Field(default=10, description="Results on a page.")
    ranking_options: RankingOptions | None = None
    query_understanding: SearchUnderstanding | None = None
    rewrite_query: bool = Field(
        default=False,
        description="Search the keywords of a query, and of a transcript its last question, completed from the one "
        "before; `search_query` says what was searched.",
    )
    mode: SearchMode = "auto"
    degrade: DegradeOption = "allow"
    page: str | None = Field(default=None, description="`next_page` of the previous response.")

    @property
    def queries(self) -> tuple[str, ...]:
        return (self.query,) if isinstance(self.query, str) else self.query

    @property
    def searched(self) -> tuple[str, ...]:
        """The queries as they are searched."""
        return tuple(map(rewrite, self.queries)) if self.rewrite_query else self.queries


@router.post("/v1/vector_stores/{vector_store_id}/search")
async def search_vector_store(
    vector_store_id: str, body: SearchRequest, request: Request, services: ServicesDep, context: ContextDep
) -> dict[str, Any]:
    """Returns the best passages for a query, without an answer."""
    digest = _digest(vector_store_id, body)
    start = _start(body.page, digest)
    end = start + body.max_num_results
    # One result past the page shows whether there is a next page.
    queries = _to_queries(body, Scope(context.tenant, (vector_store_id,)), end + 1)
    check_query_texts(body.queries, services.settings.api.max_query_chars)
    await asyncio.to_thread(services.corpus.vector_stores.touch, context.tenant, (vector_store_id,))
    results = await cancel_on_disconnect(request, _retrieve(services, queries, context))
    passages = _merge(results)
    has_more = len(passages) > end and end < MAX_PAGED_RESULTS
    return {
        "object": "vector_store.search_results.page",
        "search_query": body.searched,
        "data": [_to_result(passage) for passage in passages[start:end]],
        "has_more": has_more,
        "next_page": f"page_{end}_{digest}" if has_more else None,
        **_traces(results),
    }


def _to_queries(body: SearchRequest, scope: Scope, top_k: int) -> list[RetrievalQuery]:
    where = to_filter(body.filters)
    options = to_options(body.mode, body.ranking_options, body.query_understanding, body.degrade)
    return [RetrievalQuery(text, scope, top_k, where, options) for text in body.searched]


async def _retrieve(services: Services, queries: list[RetrievalQuery], context: RequestContext) -> list[Retrieved]:
    """Search all queries at once. Raises the first query's error after all have ended."""
    context = context.at_most(services.settings.retrieval.budget_s)
    results = await asyncio.gather(*(attempt(services.retrieval.retrieve(query, context)) for query in queries))
    for result in results:
        if isinstance(result, RagError):
            raise result
    return [result for result in results if isinstance(result, Retrieved)]


def _merge(results: list[Retrieved]) -> tuple[Passage, ...]:
    """The passages of several queries by reciprocal rank fusion. The best one of every query gets a score of 1."""
    if len(results) == 1:
        return results[0].passages
    passages = {passage.key: passage for retrieved in results for passage in retrieved.passages}
    fused = fuse([ranking_of(retrieved.passages) for retrieved in results], Fusion("rrf"))
    scored = zip(fused.keys.tolist(), fused.scores.tolist(), strict=True)
    return tuple(replace(passages[key], score=score) for key, score in scored)


def _to_result(passage: Passage) -> dict[str, Any]:
    content = {
        "type": "text",
        "text": passage.text,
        "chunk_id": passage.chunk_id,
        "start": passage.start,
        "end": passage.end,
        "context": passage.context,
        "location": to_location(passage.location),
    }
    return {
        "file_id": passage.file_id,
        "filename": passage.filename,
        "score": passage.score,
        "attributes": passage.attributes,
        "content": [content],
    }


def _traces(results: list[Retrieved]) -> dict[str, Any]:
    """Timings, models, degraded stages, caches. With several queries, each stage's time is that of the slowest one."""
    timings: dict[str, float] = {}
    models: dict[str, str] = {}
    for trace in (retrieved.trace for retrieved in results):
        models |= trace.models
        for stage, seconds in trace.timings_s.items():
            timings[stage] = max(round(seconds, 6), timings.get(stage, 0.0))
    degraded = dict.fromkeys(stage for retrieved in results for stage in retrieved.trace.degraded)
    cached = dict.fromkeys(level for retrieved in results for level in retrieved.trace.cached)
    searches = searches_json([retrieved.trace for retrieved in results])
    reasons = {name: reason for retrieved in results for name, reason in retrieved.trace.reasons.items()}
    stale = {name: age_s for retrieved in results for name, age_s in retrieved.trace.stale.items()}
    traced = {"timings": timings, "models": models, "degraded": list(degraded), "cached": list(cached)}
    return traced | {"degraded_reasons": reasons, "stale": stale, "searches": searches}


def _digest(vector_store_id: str, body: SearchRequest) -> str:
    """Identify a search: the same on each of its pages."""
    search = vector_store_id + body.model_dump_json(exclude={"page"})
    return hashlib.sha256(search.encode()).hexdigest()[:16]


def _start(page: str | None, digest: str) -> int:
    """Rank of the page's first result, from 0. Raises InvalidRequestError for a page of another search."""
    if page is None:
        return 0
    token = PAGE_TOKEN.fullmatch(page)
    if token is None or token[2] != digest or not 0 < int(token[1]) < MAX_PAGED_RESULTS:
        raise InvalidRequestError("page is not a next_page of this search; leave it out to start over", "page")
    return int(token[1])
