"""The query path: question in, cited answer out. `QueryPipeline.answer` is the request path, read it first."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from deployments.telemetry import metrics
from models.errors import DeadlineExceededError, RagError
from models.filters import Filter
from models.generation.citations import Citation, CitationStream, CitedText
from models.generation.passage_order import OrderName, PassageOrder, passage_order
from models.types import (
    ChatMessage,
    GenerationDelta,
    GenerationRequest,
    Passage,
    RequestContext,
    SamplingOptions,
    Scope,
)
from serve.pipelines.retrieve import (
    RetrievalOptions,
    RetrievalPipeline,
    RetrievalQuery,
    Retrieved,
    attempt,
    raise_mistakes,
)
from serve.pipelines.stages import GenerateStage
from serve.pipelines.trace import Trace

_NOTHING = GenerationDelta("", finish_reason="stop")


class QueryConfig(BaseModel):
    """Budgets of an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    total_s: float = Field(default=60.0, gt=0, le=3600, description="A question's whole budget, in seconds.")
    first_text_s: float = Field(
        default=30.0, gt=0, le=3600, description="How long an LLM may take to begin; past it, sentences are quoted."
    )
    passage_order: OrderName = Field(
        default="popularity",
        description="Of the passages in a prompt. popularity: what recent requests had first, for the prefix cache.",
    )


@dataclass(frozen=True)
class Query:
    """One question. `messages` is the conversation that ends with it; `top_k` the passages to answer from."""

    messages: tuple[ChatMessage, ...]
    scope: Scope
    top_k: int
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    where: Filter | None = None
    options: RetrievalOptions = field(default_factory=RetrievalOptions)

    @property
    def text(self) -> str:
        return self.messages[-1].content


@dataclass(frozen=True)
class PassagesFound:
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class TextGenerated:
    text: str


@dataclass(frozen=True)
class Cited:
    citation: Citation


@dataclass(frozen=True)
class Answered:
    """The whole answer, sent last."""

    text: str
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]
    finish_reason: str
    num_prompt_tokens: int
    num_completion_tokens: int
    trace: Trace


Event = PassagesFound | TextGenerated | Cited | Answered


@dataclass(frozen=True)
class QueryStages:
    """What the query path calls, by role. `fallback` answers when `generator` cannot."""

    retrieval: RetrievalPipeline
    generator: GenerateStage
    fallback: GenerateStage


class QueryPipeline:
    """retrieve -> generate -> check citations."""

    def __init__(self, stages: QueryStages, config: QueryConfig, order: PassageOrder | None = None) -> None:
        """`order` carries its counts over from an earlier pipeline; without it a new one is made from the config."""
        self._stages, self._config = stages, config
        self._order = order or passage_order(config.passage_order)

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """Events as they come, `Answered` last. Raises RagError when no answer can be had."""
        trace = Trace()
        context = context.at_most(self._config.total_s)
        sought = RetrievalQuery(query.text, query.scope, query.top_k, query.where, query.options)
        retrieved = await self._stages.retrieval.retrieve(sought, context, trace)
        yield PassagesFound(retrieved.passages)
        request = generation_request(context.request_id, query, retrieved, self._order)
        async with aclosing(self._generate(request, trace, context)) as events:
            async for event in events:
                yield event

    async def _generate(
        self, request: GenerationRequest, trace: Trace, context: RequestContext
    ) -> AsyncGenerator[Event, None]:
        """Text and citations as they come, then the whole answer."""
        stream, texts, citations, last = CitationStream(request.passages), list[str](), list[Citation](), _NOTHING
        with trace.timed("generate"):
            async with aclosing(self._deltas(request, trace, context)) as deltas:
                async for last in deltas:
                    cited = _read(stream, last)
                    texts.append(cited.text)
                    citations += cited.citations
                    if cited.text:
                        trace.timings_s.setdefault("first_text", trace.elapsed_s())
                    for event in _events(cited):
                        yield event
        trace.models["generate"] = last.model
        trace.timings_s["total"] = trace.elapsed_s()
        passages = tuple(request.passages[place] for place in request.best_first)
        _observe(trace, last)
        _observe_citations(trace, citations, passages)
        yield Answered(
            "".join(texts),
            tuple(citations),
            passages,
            last.finish_reason or "stop",
            last.num_prompt_tokens,
            last.num_completion_tokens,
            trace,
        )

    async def _deltas(
        self, request: GenerationRequest, trace: Trace, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        """The generator's deltas; the fallback's if it fails before its first text, which could not be taken back."""
        async with aclosing(self._stages.generator.stream(request, context)) as deltas:
            first = await attempt(self._first(deltas))
            if not isinstance(first, RagError):
                yield first
                async for delta in deltas:
                    yield delta
                return
        raise_mistakes(first)
        if request.sampling.response_schema is not None:
            raise first  # quotes keep to no schema
        trace.degraded.append("generate")
        async with aclosing(self._stages.fallback.stream(request, context)) as deltas:
            async for delta in deltas:
                yield delta

    async def _first(self, deltas: AsyncGenerator[GenerationDelta, None]) -> GenerationDelta:
        budget_s = self._config.first_text_s
        try:
            async with asyncio.timeout(budget_s):
                return await anext(deltas)
        except TimeoutError:
            raise DeadlineExceededError("generate", budget_s) from None


def generation_request(request_id: str, query: Query, found: Retrieved, order: PassageOrder) -> GenerationRequest:
    """The passages in the order of the prompt, and how they rank."""
    places = order.arrange(query.scope, [passage.key for passage in found.passages])
    passages = tuple(found.passages[place] for place in places)
    ranks = tuple(places.index(rank) for rank in range(len(places)))
    return GenerationRequest(request_id, query.messages, passages, query.sampling, found.term_weights, ranks)


def _observe(trace: Trace, last: GenerationDelta) -> None:
    for stage in trace.degraded:
        metrics.DEGRADED_ANSWERS.labels(stage).inc()
    if "first_text" in trace.timings_s:
        metrics.TIME_TO_FIRST_TEXT_SECONDS.observe(trace.timings_s["first_text"])
    metrics.GENERATED_TOKENS.labels(last.model).inc(last.num_completion_tokens)


def _observe_citations(trace: Trace, citations: list[Citation], passages: tuple[Passage, ...]) -> None:
    """What tells models apart: how much an answer cites, and how far up the passages stand that it could use."""
    cited = {citation.passage.key for citation in citations}
    metrics.ANSWER_CITATIONS.labels(trace.models["generate"]).observe(len(cited))
    ranks = [rank for rank, passage in enumerate(passages, 1) if passage.key in cited]
    if ranks and "rerank" in trace.models:
        metrics.FIRST_CITED_RANK.labels(trace.models["rerank"]).observe(ranks[0])


def _read(stream: CitationStream, delta: GenerationDelta) -> CitedText:
    """The delta's text with its markers resolved; with the last delta also what was held back."""
    read = stream.feed(delta.text)
    if delta.finish_reason is None:
        return read
    rest = stream.finish()
    return CitedText(read.text + rest.text, read.citations + rest.citations)


def _events(cited: CitedText) -> Iterator[Event]:
    """Citations stand before the text that holds their markers, so that a reader can resolve each at once."""
    yield from (Cited(citation) for citation in cited.citations)
    if cited.text:
        yield TextGenerated(cited.text)
