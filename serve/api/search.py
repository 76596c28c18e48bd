"""POST /v1/vector_stores/{id}/search in OpenAI's shape: passages without an answer written from them."""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from models.errors import InvalidRequestError, RagError
from models.index.fusion import Fusion, fuse
from models.types import Passage, Ranking, Scope
from serve.api.disconnect import unless_disconnected
from serve.api.filters import FilterBody, to_filter
from serve.api.ranking import RankingOptions, to_options
from serve.api.services import Services, ServicesDep, TenantDep, TenantRoute
from serve.pipelines.retrieve import Mode, RetrievalQuery, Retrieved, attempt

router = APIRouter(route_class=TenantRoute)

MAX_QUERIES = 16
MAX_FOUND = 500  # how far pages lead
PAGE_TOKEN = re.compile(r"page_([0-9]{1,3})_([0-9a-f]{16})")

QueryText = Annotated[str, StringConstraints(min_length=1)]


class SearchRequest(BaseModel):
    """OpenAI's request. Several queries are searched each for itself, and their results merged by rank.

    Ours: `mode`, and `page`, the `next_page` of the response before. No model rewrites queries here: with
    `rewrite_query` too, `search_query` in the response shows what was searched, as it was sent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: QueryText | Annotated[tuple[QueryText, ...], Field(min_length=1, max_length=MAX_QUERIES)]
    filters: FilterBody | None = None
    max_num_results: int = Field(default=10, ge=1, le=50)
    ranking_options: RankingOptions | None = None
    rewrite_query: bool = False
    mode: Mode = "auto"
    page: str | None = None

    @property
    def queries(self) -> tuple[str, ...]:
        return (self.query,) if isinstance(self.query, str) else self.query


@router.post("/v1/vector_stores/{vector_store_id}/search")
async def search_vector_store(
    vector_store_id: str, body: SearchRequest, request: Request, services: ServicesDep, tenant: TenantDep
) -> dict[str, Any]:
    """The best passages for a query."""
    digest = _digest(vector_store_id, body)
    start = _start(body.page, digest)
    end = start + body.max_num_results
    # One more than the page holds tells whether there is a next one.
    queries = _to_queries(body, Scope(tenant, (vector_store_id,)), end + 1)
    check_queries(body.queries, services)
    await asyncio.to_thread(services.corpus.vector_stores.touch, tenant, (vector_store_id,))
    found = await unless_disconnected(request, _retrieve(services, queries))
    passages = _merge(found)
    has_more = len(passages) > end and end < MAX_FOUND
    return {
        "object": "vector_store.search_results.page",
        "search_query": body.queries,
        "data": [_to_result(passage) for passage in passages[start:end]],
        "has_more": has_more,
        "next_page": f"page_{end}_{digest}" if has_more else None,
        **_traces(found),
    }


def check_queries(texts: Sequence[str], services: Services) -> None:
    """Raises InvalidRequestError for a text that is no question, or too long to be one."""
    limit = services.settings.api.max_query_chars
    for text in texts:
        if not text.strip():
            raise InvalidRequestError("the question is empty", "query")
        if len(text) > limit:
            problem = f"the question has {len(text)} characters; at most {limit} are read"
            raise InvalidRequestError(problem, "query")


def _to_queries(body: SearchRequest, scope: Scope, top_k: int) -> list[RetrievalQuery]:
    where, options = to_filter(body.filters), to_options(body.mode, body.ranking_options)
    return [RetrievalQuery(text, scope, top_k, where, options) for text in body.queries]


async def _retrieve(services: Services, queries: list[RetrievalQuery]) -> list[Retrieved]:
    """All at once; the first one's error is raised when all have ended."""
    results = await asyncio.gather(*(attempt(services.retrieval.retrieve(query)) for query in queries))
    for result in results:
        if isinstance(result, RagError):
            raise result
    return [result for result in results if isinstance(result, Retrieved)]


def _merge(found: list[Retrieved]) -> tuple[Passage, ...]:
    """Several queries' passages by reciprocal rank fusion; a score of 1 is for the first of every query."""
    if len(found) == 1:
        return found[0].passages
    passages = {passage.key: passage for retrieved in found for passage in retrieved.passages}
    fused = fuse([_to_ranking(retrieved.passages) for retrieved in found], Fusion("rrf"))
    scored = zip(fused.keys.tolist(), fused.scores.tolist(), strict=True)
    return tuple(replace(passages[key], score=score) for key, score in scored)


def _to_ranking(passages: Sequence[Passage]) -> Ranking:
    keys = np.array([passage.key for passage in passages], np.int64)
    return Ranking(keys, np.array([passage.score for passage in passages], np.float32))


def _to_result(passage: Passage) -> dict[str, Any]:
    part = {
        "type": "text",
        "text": passage.text,
        "chunk_id": passage.chunk_id,
        "start": passage.start,
        "end": passage.end,
        "context": passage.context,
    }
    return {
        "file_id": passage.file_id,
        "filename": passage.filename,
        "score": passage.score,
        "attributes": passage.attributes,
        "content": [part],
    }


def _traces(found: list[Retrieved]) -> dict[str, Any]:
    """What the search went through; of several queries, the slowest of each stage."""
    timings: dict[str, float] = {}
    models: dict[str, str] = {}
    for trace in (retrieved.trace for retrieved in found):
        models |= trace.models
        for stage, seconds in trace.timings_s.items():
            timings[stage] = max(round(seconds, 6), timings.get(stage, 0.0))
    degraded = dict.fromkeys(stage for retrieved in found for stage in retrieved.trace.degraded)
    return {"timings": timings, "models": models, "degraded": list(degraded)}


def _digest(vector_store_id: str, body: SearchRequest) -> str:
    """Names the search, whatever its page."""
    asked = vector_store_id + body.model_dump_json(exclude={"page"})
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


def _start(page: str | None, digest: str) -> int:
    """Where the page begins. Raises InvalidRequestError for one that belongs to another search."""
    if page is None:
        return 0
    token = PAGE_TOKEN.fullmatch(page)
    if token is None or token[2] != digest or not 0 < int(token[1]) < MAX_FOUND:
        raise InvalidRequestError("page is not a next_page of this search", "page")
    return int(token[1])
