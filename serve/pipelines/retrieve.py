"""Retrieval: question in, ranked passages out. `RetrievalPipeline.retrieve` is the path, read it first."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.errors import (
    DeadlineExceededError,
    InternalError,
    OverloadedError,
    RagError,
    StageUnavailableError,
)
from models.filters import Filter
from models.index.follow import DenseRequest, LexicalRequest
from models.index.fusion import Fusion, FusionMethod, fuse
from models.retrieval.diversity import maximal_marginal_relevance
from models.retrieval.duplicates import unique
from models.retrieval.router import contains_phrases, route
from models.types import FloatArray, LexicalRanking, Passage, Ranking, RequestContext, Scope
from serve.pipelines.stages import DenseStage, EmbedStage, GenerationSource, LexicalStage, PassageSource, RerankStage
from serve.pipelines.trace import Trace

T = TypeVar("T")
Mode = Literal["auto", "hybrid", "dense", "lexical"]

# A stage that fails in one of these ways is left out of the answer, which then says so in `degraded`.
STAGE_FAILURES = (OverloadedError, DeadlineExceededError, StageUnavailableError, InternalError)
NO_WORDS = LexicalRanking(Ranking.empty(), {})


class RetrievalConfig(BaseModel):
    """Budgets, breadth and order of retrieval. What a request may choose itself has its default here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    search_s: float = Field(default=5.0, gt=0, le=600, description="Budget of embedding and search, in seconds.")
    rerank_s: float = Field(default=10.0, gt=0, le=600, description="Budget of reranking; past it, retrieval's order.")
    candidates: int = Field(default=50, ge=1, le=500, description="Chunks that each search returns.")
    rerank_candidates: int = Field(default=30, ge=1, le=500, description="Fused chunks that are reranked.")
    fusion: FusionMethod = Field(default="min_max", description="How rankings are merged: min_max or rrf.")
    dense_weight: float = Field(default=0.5, ge=0, le=1, description="Weight of the dense search in fusion.")
    lexical_weight: float = Field(default=0.5, ge=0, le=1, description="Weight of the keyword search in fusion.")
    duplicate_similarity: float = Field(
        default=0.9, gt=0, le=1, description="Jaccard similarity of shingles from which two passages are the same."
    )

    @property
    def budget_s(self) -> float:
        """Budget of a retrieval that belongs to no question."""
        return self.search_s + self.rerank_s


@dataclass(frozen=True)
class RetrievalOptions:
    """What one request chooses; None leaves the configured default.

    `mode` auto sends identifiers and quoted phrases to the keyword search and everything else to both. Passages
    under `score_threshold` are left out; `diversity` above 0 trades relevance for difference among the results.
    """

    mode: Mode = "auto"
    rerank: bool = True
    fusion: FusionMethod | None = None
    dense_weight: float | None = None
    lexical_weight: float | None = None
    score_threshold: float = 0.0
    diversity: float = 0.0
    dedup: bool = True


@dataclass(frozen=True)
class RetrievalQuery:
    """A question, where to look for its answer, and the number of passages wanted."""

    text: str
    scope: Scope
    top_k: int
    where: Filter | None = None
    options: RetrievalOptions = field(default_factory=RetrievalOptions)


@dataclass(frozen=True)
class Retrieved:
    """Passages best first, scores 0 to 1; the weight of each of the question's words in the corpus."""

    passages: tuple[Passage, ...]
    term_weights: dict[str, float]
    trace: Trace


@dataclass(frozen=True)
class RetrievalStages:
    """What retrieval calls, by role."""

    embedder: EmbedStage
    dense: DenseStage
    lexical: LexicalStage
    reranker: RerankStage
    passages: PassageSource
    generations: GenerationSource


@dataclass(frozen=True)
class _Plan:
    """How one question is searched. `is_routed`: the router chose the keyword search alone, and may have been wrong."""

    mode: Mode
    does_rerank: bool
    phrases: tuple[str, ...] = ()
    is_routed: bool = False


class RetrievalPipeline:
    """route -> embed -> dense || keyword search -> fuse -> rerank -> diversify."""

    def __init__(self, stages: RetrievalStages, config: RetrievalConfig) -> None:
        self._stages, self._config = stages, config

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """The `top_k` best passages. Raises RagError when no search can answer."""
        trace = trace or Trace()
        plan = _plan(query)
        candidates, term_weights = await self._candidates(query, plan, trace, context)
        if plan.is_routed and not candidates:
            plan = _Plan("hybrid", query.options.rerank)
            candidates, term_weights = await self._candidates(query, plan, trace, context)
        if plan.does_rerank:
            candidates = await self._rerank(query, candidates, term_weights, trace, context)
        return Retrieved(await self._select(query, candidates), term_weights, trace)

    async def _candidates(
        self, query: RetrievalQuery, plan: _Plan, trace: Trace, context: RequestContext
    ) -> tuple[list[Passage], dict[str, float]]:
        """What the planned searches found, fused, alive and without duplicates, best first."""
        dense, lexical = await self._search(query, plan, trace, context.at_most(self._config.search_s))
        with trace.timed("fuse"):
            fused = self._fuse(query.options, plan, dense, lexical.ranking)
            keys = fused.keys[: self._depth(query)].tolist()
            found = await asyncio.to_thread(self._stages.passages.passages, keys, query.scope)
            scored = zip(keys, fused.scores.tolist(), strict=False)
            passages = [found[key].scored(score) for key, score in scored if key in found]
            if plan.phrases:
                passages = [one for one in passages if contains_phrases(one.indexed_text, plan.phrases)]
            if query.options.dedup:
                kept = unique([one.indexed_text for one in passages], self._config.duplicate_similarity)
                passages = [passages[index] for index in kept]
        return passages, lexical.term_weights

    async def _search(
        self, query: RetrievalQuery, plan: _Plan, trace: Trace, context: RequestContext
    ) -> tuple[list[Ranking], LexicalRanking]:
        """Both searches at once, or the planned one. One of two may fail; if both do, the dense one's is raised."""
        calls: dict[str, Coroutine[Any, Any, Any]] = {}
        if plan.mode != "lexical":
            calls["dense"] = self._dense(query, trace, context)
        if plan.mode != "dense":
            calls["lexical"] = self._lexical(query, trace, context)
        results = dict(zip(calls, await asyncio.gather(*map(attempt, calls.values())), strict=True))
        failures = {name: result for name, result in results.items() if isinstance(result, RagError)}
        for error in failures.values():
            raise_mistakes(error)
        if len(failures) == len(results):
            raise next(iter(failures.values()))
        trace.degraded += failures
        found: dict[str, Any] = {name: result for name, result in results.items() if name not in failures}
        return found.get("dense", []), found.get("lexical", NO_WORDS)

    async def _dense(self, query: RetrievalQuery, trace: Trace, context: RequestContext) -> list[Ranking]:
        """A ranking for each generation that the stores in scope are searched in: nearly always one."""
        stores = await asyncio.to_thread(self._stages.generations.searched, query.scope)
        # Not at once: the time of a stage is then its own, and a second generation is rare.
        return [
            await self._dense_in(query, generation, Scope(query.scope.tenant, ids), trace, context)
            for generation, ids in stores.items()
        ]

    async def _dense_in(
        self, query: RetrievalQuery, generation: str, scope: Scope, trace: Trace, context: RequestContext
    ) -> Ranking:
        with trace.timed("embed"):
            embedded = await self._stages.embedder.embed_query(query.text, context, generation)
        trace.models["embed"] = embedded.model
        request = DenseRequest(embedded.vectors[0], generation, scope, self._depth(query), query.where)
        with trace.timed("dense"):
            return await self._stages.dense.search(request, context)

    async def _lexical(self, query: RetrievalQuery, trace: Trace, context: RequestContext) -> LexicalRanking:
        request = LexicalRequest(query.text, query.scope, self._depth(query), query.where)
        with trace.timed("lexical"):
            return await self._stages.lexical.search(request, context)

    def _depth(self, query: RetrievalQuery) -> int:
        return max(self._config.candidates, query.top_k)

    def _fuse(self, options: RetrievalOptions, plan: _Plan, dense: list[Ranking], lexical: Ranking) -> Ranking:
        """One ranking of all, scores 0 to 1."""
        dense_weight = _chosen(options.dense_weight, self._config.dense_weight)
        lexical_weight = _chosen(options.lexical_weight, self._config.lexical_weight)
        if plan.mode == "dense" and len(dense) == 1:
            return Ranking(dense[0].keys, np.clip(dense[0].scores, 0, 1))
        weighted = [(ranking, dense_weight) for ranking in dense] + [(lexical, lexical_weight)]
        # A search that failed or found nothing takes no share of the scores, nor may its weight be the only one.
        rankings, weights = zip(*([pair for pair in weighted if len(pair[0])] or weighted), strict=True)
        if len(rankings) == 1:
            weights = (1.0,)
        return fuse(rankings, Fusion(options.fusion or self._config.fusion, weights))

    async def _rerank(
        self,
        query: RetrievalQuery,
        candidates: list[Passage],
        weights: dict[str, float],
        trace: Trace,
        context: RequestContext,
    ) -> list[Passage]:
        """The head by the reranker's scores, then the rest. Without its answer in time, retrieval's order stands."""
        head, tail = candidates[: self._config.rerank_candidates], candidates[self._config.rerank_candidates :]
        if not head:
            return []
        with trace.timed("rerank"):
            call = self._stages.reranker.rerank(query.text, head, weights, context.at_most(self._config.rerank_s))
            reranking = await attempt(call)
        raise_mistakes(reranking)
        if isinstance(reranking, RagError):
            trace.degraded.append("rerank")
            return candidates
        trace.models["rerank"] = reranking.model
        order = np.argsort(-reranking.scores, kind="stable")
        reranked = [head[index].scored(float(reranking.scores[index])) for index in order]
        # Two scales meet here: the tail's is shrunk to end below the head's.
        floor = max(0.0, reranked[-1].score)
        return reranked + [one.scored(floor * one.score / max(tail[0].score, 1e-9)) for one in tail]

    async def _select(self, query: RetrievalQuery, candidates: list[Passage]) -> tuple[Passage, ...]:
        """The `top_k` best above the threshold; unlike each other, as far as the request asks for that."""
        options = query.options
        kept = (
            [one for one in candidates if one.score >= options.score_threshold]
            if options.score_threshold
            else candidates
        )
        if not options.diversity or len(kept) < 2:
            return tuple(kept[: query.top_k])
        scores = np.array([one.score for one in kept], np.float32)
        vectors = await asyncio.to_thread(self._vectors, kept, query.scope)
        order = maximal_marginal_relevance(scores, vectors, query.top_k, options.diversity)
        return tuple(kept[index] for index in order)

    def _vectors(self, passages: Sequence[Passage], scope: Scope) -> FloatArray:
        """Rows of vectors in the first generation searched; zeros, like nothing else, where a passage has none."""
        generation = next(iter(self._stages.generations.searched(scope)), "")
        found = self._stages.passages.vectors_of([one.key for one in passages], generation, scope)
        dim = len(next(iter(found.values()))) if found else 1
        return np.stack([found.get(one.key, np.zeros(dim, np.float32)) for one in passages])


async def attempt(call: Coroutine[Any, Any, T]) -> T | RagError:
    """What `call` gives, or its error: of two calls at once, neither is left running when the other fails."""
    try:
        return await call
    except RagError as error:
        return error


def raise_mistakes(result: object) -> None:
    """Raises an error that is no failure of a stage, such as an unknown vector store: it is not to be hidden."""
    if isinstance(result, RagError) and not isinstance(result, STAGE_FAILURES):
        raise result


def _plan(query: RetrievalQuery) -> _Plan:
    options = query.options
    if options.mode != "auto":
        return _Plan(options.mode, options.rerank)
    chosen = route(query.text)
    if chosen.mode == "lexical":
        # Who asks for an identifier wants the passages that have it, in the keyword search's order.
        return _Plan("lexical", False, chosen.phrases, is_routed=True)
    return _Plan("hybrid", options.rerank)


def _chosen(requested: float | None, configured: float) -> float:
    return configured if requested is None else requested
