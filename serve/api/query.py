"""POST /v1/query: a question in, a cited answer with everything that led to it out. JSON, or events with `stream`."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sse_starlette import EventSourceResponse, ServerSentEvent

from models.errors import RagError
from models.generation.citations import Citation
from models.types import DEFAULT_VECTOR_STORE, ChatMessage, Passage, SamplingOptions, Scope
from serve.api.disconnect import begun, unless_disconnected
from serve.api.errors import error_body
from serve.api.filters import FilterBody, to_filter
from serve.api.ranking import RankingOptions, to_options
from serve.api.search import check_queries
from serve.api.services import RequestIdDep, Services, ServicesDep, TenantDep, TenantRoute
from serve.pipelines.query import Answered, Cited, Event, PassagesFound, Query, TextGenerated
from serve.pipelines.retrieve import Mode

router = APIRouter(route_class=TenantRoute)

VectorStoreId = Annotated[str, StringConstraints(min_length=1, max_length=128)]
VectorStoreIds = Annotated[tuple[VectorStoreId, ...], Field(min_length=1, max_length=16)]


class QueryRequest(BaseModel):
    """A question over vector stores. `top_k` is how many passages the answer may be written from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str = Field(min_length=1)
    top_k: int = Field(default=5, ge=1, le=50)
    stream: bool = False
    vector_store_ids: VectorStoreIds = (DEFAULT_VECTOR_STORE,)
    max_tokens: int = Field(default=512, ge=1, le=32_768)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stop: tuple[str, ...] = Field(default=(), max_length=4)
    seed: int | None = None
    filters: FilterBody | None = None
    mode: Mode = "auto"
    ranking_options: RankingOptions | None = None

    def to_query(self, request_id: str, tenant: str) -> Query:
        return Query(
            request_id=request_id,
            messages=(ChatMessage("user", self.query),),
            scope=Scope(tenant, self.vector_store_ids),
            top_k=self.top_k,
            sampling=SamplingOptions(self.max_tokens, self.temperature, self.top_p, self.stop, self.seed),
            where=to_filter(self.filters),
            options=to_options(self.mode, self.ranking_options),
        )


class CitationBody(BaseModel):
    """`[id]` in the answer. `quote` is characters `start` to `end` of the file's text: GET /v1/files/{file_id}/text."""

    id: int
    file_id: str
    filename: str
    chunk_id: str
    quote: str
    start: int
    end: int
    score: float


class PassageBody(BaseModel):
    """A chunk that the answer could be written from, best first; `cited` if it does cite it, else merely retrieved."""

    file_id: str
    filename: str
    chunk_id: str
    text: str
    start: int
    end: int
    score: float
    attributes: dict[str, str | bool | int | float]
    cited: bool


class UsageBody(BaseModel):
    prompt_tokens: int
    completion_tokens: int


class QueryResponse(BaseModel):
    """The answer; what it rests on; seconds and model of each stage; the stages it had to go without."""

    id: str
    answer: str
    citations: list[CitationBody]
    passages: list[PassageBody]
    timings: dict[str, float]
    models: dict[str, str]
    degraded: list[str]
    finish_reason: str
    usage: UsageBody


@router.post("/v1/query", response_model=QueryResponse)
async def query(
    body: QueryRequest, request: Request, services: ServicesDep, tenant: TenantDep, request_id: RequestIdDep
) -> Response | QueryResponse:
    """Answers a question from the documents, with citations."""
    asked = await admitted(body.to_query(request_id, tenant), services)
    if body.stream:
        events = await begun(request, services.query.answer(asked))
        return EventSourceResponse(_events(events, request_id))
    return to_response(await unless_disconnected(request, answered(services, asked)), request_id)


async def admitted(asked: Query, services: Services) -> Query:
    """The query, if its question is one and its vector stores can be searched, which then count as used.

    Raises InvalidRequestError, NotFoundError, ConflictError for an expired store.
    """
    check_queries((asked.text,), services)
    await asyncio.to_thread(services.corpus.vector_stores.touch, asked.scope.tenant, asked.scope.vector_store_ids)
    return asked


async def answered(services: Services, asked: Query) -> Answered:
    """The last event of the pipeline, once it is there."""
    async for event in services.query.answer(asked):
        if isinstance(event, Answered):
            return event
    raise AssertionError("the query path ends with Answered or raises")


async def _events(events: AsyncGenerator[Event, None], request_id: str) -> AsyncIterator[ServerSentEvent]:
    """`passages`, then `text` and `citation` as they come, then `done` with the whole response; or `error`."""
    try:
        async for event in events:
            yield _to_sse(event, request_id)
    except RagError as error:
        yield ServerSentEvent(json.dumps(error_body(error)), event="error")
    finally:
        await events.aclose()


def _to_sse(event: Event, request_id: str) -> ServerSentEvent:
    match event:
        case PassagesFound():
            # Nothing is cited before anything is said.
            passages = [to_passage(passage, cited=False).model_dump(exclude={"cited"}) for passage in event.passages]
            return ServerSentEvent(json.dumps({"passages": passages}), event="passages")
        case TextGenerated():
            return ServerSentEvent(json.dumps({"text": event.text}), event="text")
        case Cited():
            return ServerSentEvent(to_citation(event.citation).model_dump_json(), event="citation")
        case Answered():
            return ServerSentEvent(to_response(event, request_id).model_dump_json(), event="done")


def to_response(event: Answered, request_id: str) -> QueryResponse:
    return QueryResponse(
        id=request_id,
        answer=event.text,
        finish_reason=event.finish_reason,
        usage=UsageBody(prompt_tokens=event.num_prompt_tokens, completion_tokens=event.num_completion_tokens),
        **evidence(event),
    )


def evidence(event: Answered) -> dict[str, Any]:
    """What an answer rests on and what it went through, the same in every API shape."""
    cited = {citation.passage.key for citation in event.citations}
    return {
        "citations": [to_citation(citation) for citation in event.citations],
        "passages": [to_passage(passage, passage.key in cited) for passage in event.passages],
        "timings": {stage: round(seconds, 6) for stage, seconds in event.trace.timings_s.items()},
        "models": event.trace.models,
        "degraded": event.trace.degraded,
    }


def to_citation(citation: Citation) -> CitationBody:
    passage = citation.passage
    return CitationBody(
        id=citation.id,
        file_id=passage.file_id,
        filename=passage.filename,
        chunk_id=passage.chunk_id,
        quote=citation.quote,
        start=citation.start,
        end=citation.end,
        score=citation.score,
    )


def to_passage(passage: Passage, cited: bool) -> PassageBody:
    fields = PassageBody.model_fields.keys() - {"cited"}
    return PassageBody(**{name: getattr(passage, name) for name in fields}, cited=cited)
