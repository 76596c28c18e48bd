"""The query path: question in, cited answer out. `QueryPipeline.answer` is the request path, read it first."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deployments.telemetry import metrics
from models.errors import (
    DeadlineExceededError,
    InternalError,
    OverloadedError,
    RagError,
    StageUnavailableError,
)
from models.generation.citations import Citation, CitationStream, CitedText
from models.index.fusion import min_max_fusion
from models.types import (
    ChatMessage,
    Deadline,
    GenerationDelta,
    GenerationRequest,
    LexicalRanking,
    Passage,
    Ranking,
    SamplingOptions,
    Scope,
)
from serve.pipelines.stages import (
    DenseStage,
    EmbedStage,
    GenerateStage,
    LexicalStage,
    PassageSource,
    RerankStage,
)
from serve.pipelines.trace import Trace

# A stage that fails in one of these ways is left out of the answer, which then says so in `degraded`.
T = TypeVar("T")
_NOTHING = GenerationDelta("", finish_reason="stop")
STAGE_FAILURES = (OverloadedError, DeadlineExceededError, StageUnavailableError, InternalError)


class QueryConfig(BaseModel):
    """Budgets and breadth of the query path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    total_s: float = Field(default=60.0, gt=0, le=3600, description="A question's whole budget, in seconds.")
    search_s: float = Field(default=5.0, gt=0, le=600, description="Budget of embedding and search.")
    rerank_s: float = Field(default=10.0, gt=0, le=600, description="Budget of reranking; past it, retrieval's order.")
    first_text_s: float = Field(
        default=30.0, gt=0, le=3600, description="How long an LLM may take to begin; past it, sentences are quoted."
    )
    candidates: int = Field(default=50, ge=1, le=500, description="Chunks that each search returns.")
    rerank_candidates: int = Field(default=30, ge=1, le=500, description="Fused chunks that are reranked.")
    dense_weight: float = Field(default=0.5, ge=0, le=1, description="Share of the dense search in the fused score.")


@dataclass(frozen=True)
class Query:
    """One question. `messages` is the conversation that ends with it; `top_k` the passages to answer from."""

    request_id: str
    messages: tuple[ChatMessage, ...]
    scope: Scope
    top_k: int
    sampling: SamplingOptions = field(default_factory=SamplingOptions)

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

    embedder: EmbedStage
    dense: DenseStage
    lexical: LexicalStage
    reranker: RerankStage
    generator: GenerateStage
    fallback: GenerateStage
    corpus: PassageSource


class QueryPipeline:
    """embed -> dense || keyword search -> fuse -> rerank -> generate -> check citations."""

    def __init__(self, stages: QueryStages, config: QueryConfig) -> None:
        self._stages = stages
        self._config = config

    async def answer(self, query: Query) -> AsyncGenerator[Event, None]:
        """Events as they come, `Answered` last. Raises RagError when no answer can be had."""
        trace = Trace()
        deadline = Deadline.after(self._config.total_s)
        dense, lexical = await self._search(query, trace, deadline)
        candidates = await self._fuse(query, dense, lexical.ranking, trace)
        passages = await self._rerank(query, candidates, lexical.term_weights, trace, deadline)
        yield PassagesFound(passages)
        request = GenerationRequest(query.request_id, query.messages, passages, query.sampling, lexical.term_weights)
        async with aclosing(self._generate(request, trace, deadline)) as events:
            async for event in events:
                yield event

    async def _search(self, query: Query, trace: Trace, deadline: Deadline) -> tuple[Ranking, LexicalRanking]:
        """Both searches at once. One may fail; if both do, the dense search's error is raised."""
        deadline = deadline.at_most(self._config.search_s)
        dense, lexical = await asyncio.gather(
            _attempt(self._dense(query, trace, deadline)), _attempt(self._lexical(query, trace, deadline))
        )
        if isinstance(dense, RagError) and isinstance(lexical, RagError):
            raise dense
        for result in (dense, lexical):
            _raise_mistakes(result)
        if isinstance(dense, RagError):
            trace.degraded.append("dense")
            dense = Ranking.empty()
        if isinstance(lexical, RagError):
            trace.degraded.append("lexical")
            lexical = LexicalRanking(Ranking.empty(), {})
        return dense, lexical

    async def _dense(self, query: Query, trace: Trace, deadline: Deadline) -> Ranking:
        with trace.timed("embed"):
            vector = await self._stages.embedder.embed_query(query.text, deadline)
        trace.models["embed"] = vector.model
        with trace.timed("dense"):
            return await self._stages.dense.search(vector, query.scope, self._config.candidates, deadline)

    async def _lexical(self, query: Query, trace: Trace, deadline: Deadline) -> LexicalRanking:
        with trace.timed("lexical"):
            return await self._stages.lexical.search(query.text, query.scope, self._config.candidates, deadline)

    async def _fuse(self, query: Query, dense: Ranking, lexical: Ranking, trace: Trace) -> list[Passage]:
        """The best candidates of both rankings, as passages that are alive and in the query's scope."""
        with trace.timed("fuse"):
            weight = self._config.dense_weight
            fused = min_max_fusion([dense, lexical], [weight, 1 - weight])
            keys = fused.keys[: self._config.candidates].tolist()
            found = await asyncio.to_thread(self._stages.corpus.passages, keys, query.scope)
        scored = zip(keys, fused.scores.tolist(), strict=False)
        return [replace(found[key], score=score) for key, score in scored if key in found]

    async def _rerank(
        self, query: Query, candidates: list[Passage], weights: dict[str, float], trace: Trace, deadline: Deadline
    ) -> tuple[Passage, ...]:
        """The `top_k` best. Without a reranker's answer in its budget they stay in retrieval's order."""
        head = candidates[: max(self._config.rerank_candidates, query.top_k)]
        if not head:
            return ()
        deadline = deadline.at_most(self._config.rerank_s)
        with trace.timed("rerank"):
            reranking = await _attempt(self._stages.reranker.rerank(query.text, head, weights, deadline))
        _raise_mistakes(reranking)
        if isinstance(reranking, RagError):
            trace.degraded.append("rerank")
            return tuple(head[: query.top_k])
        trace.models["rerank"] = reranking.model
        order = np.argsort(-reranking.scores, kind="stable")[: query.top_k]
        return tuple(replace(head[index], score=float(reranking.scores[index])) for index in order)

    async def _generate(
        self, request: GenerationRequest, trace: Trace, deadline: Deadline
    ) -> AsyncGenerator[Event, None]:
        """Text and citations as they come, then the whole answer."""
        stream, texts, citations, last = CitationStream(request.passages), list[str](), list[Citation](), _NOTHING
        with trace.timed("generate"):
            async with aclosing(self._deltas(request, trace, deadline)) as deltas:
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
        _observe(trace, last)
        yield Answered(
            "".join(texts),
            tuple(citations),
            request.passages,
            last.finish_reason or "stop",
            last.num_prompt_tokens,
            last.num_completion_tokens,
            trace,
        )

    async def _deltas(
        self, request: GenerationRequest, trace: Trace, deadline: Deadline
    ) -> AsyncGenerator[GenerationDelta, None]:
        """The generator's deltas; the fallback's if it fails before its first text, which could not be taken back."""
        async with aclosing(self._stages.generator.stream(request, deadline)) as deltas:
            first = await _attempt(self._first(deltas))
            if not isinstance(first, RagError):
                yield first
                async for delta in deltas:
                    yield delta
                return
        _raise_mistakes(first)
        trace.degraded.append("generate")
        async with aclosing(self._stages.fallback.stream(request, deadline)) as deltas:
            async for delta in deltas:
                yield delta

    async def _first(self, deltas: AsyncGenerator[GenerationDelta, None]) -> GenerationDelta:
        budget_s = self._config.first_text_s
        try:
            async with asyncio.timeout(budget_s):
                return await anext(deltas)
        except TimeoutError:
            raise DeadlineExceededError("generate", budget_s) from None


async def _attempt(call: Coroutine[Any, Any, T]) -> T | RagError:
    """What `call` gives, or its error: of two calls at once, neither is left running when the other fails."""
    try:
        return await call
    except RagError as error:
        return error


def _raise_mistakes(result: object) -> None:
    """Raises an error that is no failure of a stage, such as an unknown vector store: it is not to be hidden."""
    if isinstance(result, RagError) and not isinstance(result, STAGE_FAILURES):
        raise result


def _observe(trace: Trace, last: GenerationDelta) -> None:
    for stage in trace.degraded:
        metrics.DEGRADED_ANSWERS.labels(stage).inc()
    if "first_text" in trace.timings_s:
        metrics.TIME_TO_FIRST_TEXT_SECONDS.observe(trace.timings_s["first_text"])
    metrics.GENERATED_TOKENS.labels(last.model).inc(last.num_completion_tokens)


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
