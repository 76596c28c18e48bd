"""The query path: a question in, a cited answer out. `QueryPipeline.answer` is the request path; read it first."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field

from models.errors.base import RagError
from models.errors.stages import DeadlineExceededError
from models.generation.citations import Citation, CitationStream, CitedText, Marker
from models.generation.evidence import MIN_EVIDENCE
from models.generation.function_calls import CallGatherer, without_calls
from models.generation.passage_order import OrderName, PassageOrder, passage_order
from models.generation.support import Unsupported
from models.types.chunks import Passage
from models.types.generation import GenerationDelta, GenerationRequest
from models.types.request_context import RequestContext
from serve.pipelines.answering import Answered, CallGenerated, Cited, Event, PassagesFound, Query, TextGenerated
from serve.pipelines.failures import attempt, raise_mistakes
from serve.pipelines.follow_up_rewriting import FollowUpConfig
from serve.pipelines.formed_answering import AnswerConfig
from serve.pipelines.prompted_answering import PromptsConfig
from serve.pipelines.retrieving import RetrievalQuery, Retrieved, Retrieving
from serve.pipelines.stages import GenerateStage
from serve.pipelines.trace import Trace
from serve.pipelines.understanding import UnderstandingConfig

_NOTHING = GenerationDelta("", finish_reason="stop")


class QueryConfig(BaseModel):
    """Budgets of an answer, and the order of its prompt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    total_s: float = Field(default=60.0, gt=0, le=3600, description="Time for a whole answer, in seconds.")
    first_text_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="Time until an LLM's first text, in seconds; after it, sentences are quoted instead.",
    )
    min_evidence: float = Field(
        default=MIN_EVIDENCE,
        ge=0,
        le=1,
        description="With less evidence a question counts as not answerable from the documents.",
    )
    decline: bool = Field(
        default=False,
        description="Say so in one sentence if a question is not answerable; false: answer anyway, and say it in "
        "`answerable` alone.",
    )
    passage_order: OrderName = Field(
        default="popularity",
        description="Order of the passages in a prompt. popularity: those of recent requests first (prefix cache); "
        "relevance: the best first.",
    )
    follow_up: FollowUpConfig = FollowUpConfig()
    understanding: UnderstandingConfig = UnderstandingConfig()
    prompts: PromptsConfig = PromptsConfig()
    answer: AnswerConfig = AnswerConfig()


@dataclass(frozen=True)
class QueryStages:
    """The parts of the query path, by role. `fallback` answers when `generator` cannot."""

    retrieval: Retrieving
    generator: GenerateStage
    fallback: GenerateStage


class QueryPipeline:
    """retrieve -> generate -> check citations."""

    def __init__(self, stages: QueryStages, config: QueryConfig, order: PassageOrder | None = None) -> None:
        """`order` is the passage order of an earlier pipeline, with its counts; None: a new one, from the config."""
        self._stages, self._config = stages, config
        self._order = order or passage_order(config.passage_order)

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering."""
        trace = Trace()
        context = context.at_most(self._config.total_s)
        retrieval_query = RetrievalQuery(
            query.searched,
            query.scope,
            query.top_k,
            query.where,
            query.options,
            sentences=True,
            recalled=query.recalled,
        )
        retrieved = await self._stages.retrieval.retrieve(retrieval_query, context, trace)
        suffices = self._suffices(retrieved.passages, retrieved.evidence)
        yield PassagesFound(retrieved.passages, suffices, (query.searched,))
        request = generation_request(context.request_id, query, retrieved, self._order)
        fallback = None if query.options.degrade == "never" else self._stages.fallback
        async with aclosing(self._generate(request, trace, context, fallback)) as events:
            async for event in events:
                yield event

    async def _generate(
        self, request: GenerationRequest, trace: Trace, context: RequestContext, fallback: GenerateStage | None
    ) -> AsyncGenerator[Event, None]:
        """Text and citations as they come, then the whole answer."""
        stream, last = CitationStream(request.passages), _NOTHING
        texts, citations, markers, gatherer = list[str](), list[Citation](), list[Marker](), CallGatherer()
        with trace.timed("generate"):
            async with aclosing(self._deltas(request, trace, context, fallback)) as deltas:
                async for last in deltas:
                    cited = stream.read(last)
                    texts.append(cited.text)
                    citations += cited.citations
                    markers += cited.markers
                    if cited.text:
                        trace.timings_s.setdefault("first_text", trace.elapsed_s())
                    for event in _events(cited):
                        yield event
                    for piece in last.calls:
                        gatherer.add(piece)
                        yield CallGenerated(piece)
        if last.is_partial:
            trace.degraded.append("generate_partial")
        if last.fell_back:
            trace.fall_back("generate_fallback", "generate", last.fell_back)
        if last.stale_s is not None:
            trace.answer_stale(last.stale_s)
        if last.model:  # no model wrote that the documents have no answer
            trace.models["generate"] = last.model
        trace.timings_s["total"] = trace.elapsed_s()
        yield Answered(
            "".join(texts),
            tuple(citations),
            tuple(request.passages[place] for place in request.best_first),
            _finish_reason(last, gatherer),
            last.num_prompt_tokens,
            last.num_completion_tokens,
            trace,
            tuple(markers),
            request.evidence,
            self._suffices(request.passages, request.evidence),
            request.question,
            tuple(map(Unsupported, last.left_out)),
            request.prompt.name if request.prompt else "",
            calls=gatherer.calls,
        )

    def _suffices(self, passages: tuple[Passage, ...], evidence: float | None) -> bool:
        """Whether a question counts as answerable."""
        return bool(passages) and (evidence is None or evidence >= self._config.min_evidence)

    async def _deltas(
        self, request: GenerationRequest, trace: Trace, context: RequestContext, fallback: GenerateStage | None
    ) -> AsyncGenerator[GenerationDelta, None]:
        """The generator's deltas; the fallback's if the generator fails before its first text. Sent text stays sent."""
        async with aclosing(self._stages.generator.stream(request, context)) as deltas:
            first = await attempt(self._first(deltas))
            if not isinstance(first, RagError):
                yield first
                async for delta in deltas:
                    yield delta
                return
        raise_mistakes(first)
        must_call = request.functions is not None and request.functions.must_call
        if fallback is None or must_call or request.sampling.response_schema is not None:
            raise first  # quoted sentences cannot follow a schema, and call nothing
        trace.leave_out("generate", first)
        if request.functions is not None:
            request = replace(request, functions=None, messages=without_calls(request.messages))
        async with aclosing(fallback.stream(request, context)) as deltas:
            async for delta in deltas:
                yield delta

    async def _first(self, deltas: AsyncGenerator[GenerationDelta, None]) -> GenerationDelta:
        budget_s = self._config.first_text_s
        try:
            async with asyncio.timeout(budget_s):
                return await anext(deltas)
        except TimeoutError:
            raise DeadlineExceededError("generate", budget_s) from None


def generation_request(request_id: str, query: Query, retrieved: Retrieved, order: PassageOrder) -> GenerationRequest:
    """A request with the passages in the order of the prompt, and their ranks."""
    places = order.arrange(query.scope, [passage.key for passage in retrieved.passages])
    passages = tuple(retrieved.passages[place] for place in places)
    ranks = tuple(places.index(rank) for rank in range(len(places)))
    scores = tuple(retrieved.sentence_scores[place] for place in places) if retrieved.sentence_scores else ()
    weights = retrieved.term_weights
    return GenerationRequest(
        request_id,
        query.messages,
        passages,
        query.sampling,
        weights,
        ranks,
        scores,
        retrieved.evidence,
        query.search_query,
        query.grounded == "strict",
        query.form,
        query.prompts.for_answer(query.form, query.text),
        is_whole=query.is_whole,
        functions=query.functions,
    )


def _finish_reason(last: GenerationDelta, gatherer: CallGatherer) -> str:
    """OpenAI's. Some servers say `stop` after a call that the request forced."""
    reason = last.finish_reason or "stop"
    return "tool_calls" if gatherer.calls and reason == "stop" else reason


def _events(cited: CitedText) -> Iterator[Event]:
    """Citations come before the text with their markers, so that a reader can resolve each marker at once."""
    yield from (Cited(citation) for citation in cited.citations)
    if cited.text:
        yield TextGenerated(cited.text)
