"""POST /v1/query: a query in, a cited answer with its evidence out, as JSON or as server-sent events."""

import json
from collections.abc import AsyncGenerator, AsyncIterator

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from models.answer_form import AnswerForm
from models.errors.base import RagError
from models.types.generation import ChatMessage, SamplingOptions
from models.types.scope import DEFAULT_VECTOR_STORE, Scope
from serve.api.answers import accept_query, check_grounding, final_answer
from serve.api.context import ContextDep
from serve.api.disconnect import cancel_on_disconnect, start_stream
from serve.api.errors import error_body
from serve.api.evidence import CitationBody, PassageBody, UnsupportedBody, evidence, to_citation, to_passage
from serve.api.filters import FilterBody, to_filter
from serve.api.ids import VectorStoreIds
from serve.api.query_text import QueryText
from serve.api.ranking import DEFAULT_NUM_RESULTS, DegradeOption, NumResults, RankingOptions, SearchMode, to_options
from serve.api.response_format import ResponseFormat
from serve.api.sampling import (
    DEFAULT_MAX_TOKENS,
    MAX_STOPS,
    ExtraOptions,
    Grounding,
    LanguageOption,
    LengthOption,
    MaxTokens,
    ResponseModeOption,
    Temperature,
    TopP,
)
from serve.api.services import ServicesDep, TenantRoute
from serve.api.understanding import QueryUnderstanding, SearchBody
from serve.pipelines.answering import Answered, CallGenerated, Cited, Event, PassagesFound, Query, TextGenerated
from serve.pipelines.trace import Degraded

router = APIRouter(route_class=TenantRoute)


class QueryRequest(BaseModel):
    """A query over vector stores."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: QueryText
    top_k: NumResults = Field(default=DEFAULT_NUM_RESULTS, description="Most passages to write the answer from.")
    stream: bool = Field(default=False, description="Send server-sent events instead of one JSON object.")
    vector_store_ids: VectorStoreIds = Field(default=(DEFAULT_VECTOR_STORE,), description="Vector stores to search.")
    max_tokens: MaxTokens = DEFAULT_MAX_TOKENS
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stop: tuple[str, ...] = Field(default=(), max_length=MAX_STOPS, description="Texts that end the answer.")
    seed: int | None = None
    filters: FilterBody | None = Field(default=None, description="Search only files whose attributes match.")
    mode: SearchMode = "auto"
    degrade: DegradeOption = "allow"
    ranking_options: RankingOptions | None = None
    query_understanding: QueryUnderstanding | None = None
    extra: ExtraOptions = "refuse"
    grounded: Grounding = "mark"
    response_format: ResponseFormat | None = Field(
        default=None,
        description="A JSON schema that the answer follows; `field_citations` says what supports which field.",
    )
    response_mode: ResponseModeOption = None
    language: LanguageOption = None
    length: LengthOption = None

    @property
    def sampling(self) -> SamplingOptions:
        schema = self.response_format.schema_dict if self.response_format else None
        return SamplingOptions(self.max_tokens, self.temperature, self.top_p, self.stop, self.seed, schema)

    def to_query(self, tenant: str) -> Query:
        check_grounding(self.grounded, self.sampling)
        return Query(
            messages=(ChatMessage("user", self.query),),
            scope=Scope(tenant, self.vector_store_ids),
            top_k=self.top_k,
            sampling=self.sampling,
            where=to_filter(self.filters),
            options=to_options(self.mode, self.ranking_options, self.query_understanding, self.degrade),
            extra=self.extra,
            grounded=self.grounded,
            form=AnswerForm(self.response_mode, self.language, self.length),
        )


class UsageBody(BaseModel):
    """Tokens of the language model."""

    prompt_tokens: int
    completion_tokens: int


class QueryResponse(BaseModel):
    """The answer, and the evidence for it."""

    id: str = Field(description="The request's id, as in the header x-request-id.")
    answer: str
    citations: list[CitationBody]
    passages: list[PassageBody]
    evidence: float | None = Field(
        description="How likely the passages answer the query, 0 to 1; null if nothing weighed it."
    )
    answerable: bool = Field(description="Whether the evidence suffices for an answer; if not, there are no citations.")
    search_query: str = Field(description="What was searched; empty for a greeting, which is not searched.")
    searches: list[SearchBody] = Field(description="Searches by `query_understanding`; empty for a plain query.")
    unsupported: list[UnsupportedBody] = Field(
        description="Sentences of a language model that no passage supports; with `grounded: strict`, those left out."
    )
    field_citations: dict[str, list[int]] = Field(
        description="Of a JSON answer: the ids of the citations that support a field, by its JSON pointer."
    )
    unsupported_fields: list[str] = Field(description="JSON pointers of the fields that no passage supports.")
    prompt: str = Field(description="The prompt set, name@version; empty if none was used.")
    timings: dict[str, float] = Field(description="Seconds by stage.")
    models: dict[str, str] = Field(description="Catalog alias by stage.")
    degraded: list[Degraded] = Field(
        description="Stages that failed; the answer was made without them. rerank_partial: some candidates kept the "
        "order of retrieval, as the reranker had no time to read them. sentences: quoted by their words alone. "
        "generate_partial: the model had no time for all of its text, or for all steps to it. embed_fallback, "
        "rerank_fallback, generate_fallback: a later model of the stage's list answered. retrieval_stale, "
        "generate_stale: the result of an equal request, made before the stage failed. memory: it was searched by "
        "words alone."
    )
    fallbacks: dict[str, dict[str, str]] = Field(
        description="By stage: the models of its list before the one that answered, and why they did not."
    )
    degraded_reasons: dict[str, str] = Field(
        description="By name in `degraded`: the stage that failed, and the code of its error. Partial work has none."
    )
    stale: dict[str, float] = Field(
        description="By name in `degraded`: the age in seconds of a result that was made before the stage failed."
    )
    cached: list[str] = Field(description="Caches that answered: answers or retrieval. Empty: all was computed.")
    ignored: list[str] = Field(
        description="Fields of the request that the model cannot follow, left out by `extra: ignore`."
    )
    finish_reason: str
    usage: UsageBody


@router.post("/v1/query", response_model=QueryResponse)
async def answer_query(
    body: QueryRequest, request: Request, services: ServicesDep, context: ContextDep
) -> Response | QueryResponse:
    """Answers a query from the documents, with citations."""
    query = await accept_query(body.to_query(context.tenant), services)
    if body.stream:
        events = await start_stream(request, services.query.answer(query, context))
        return EventSourceResponse(_events(events, context.request_id))
    return to_response(await cancel_on_disconnect(request, final_answer(query, services, context)), context.request_id)


async def _events(events: AsyncGenerator[Event, None], request_id: str) -> AsyncIterator[ServerSentEvent]:
    """`passages`, then `text` and `citation` as they are generated, then `done` with the full response; or `error`."""
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
            # `cited` is not known before the answer is complete.
            passages = [to_passage(passage, cited=False).model_dump(exclude={"cited"}) for passage in event.passages]
            return ServerSentEvent(json.dumps({"passages": passages}), event="passages")
        case TextGenerated():
            return ServerSentEvent(json.dumps({"text": event.text}), event="text")
        case CallGenerated():
            raise AssertionError("a request of this route has no functions")
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
