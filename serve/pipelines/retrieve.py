"""Retrieval: a query in, ranked passages out. `RetrievalPipeline.retrieve` is the path; read it first."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.errors.base import RagError
from models.generation.evidence import Signals
from models.index.follow import DenseRequest, LexicalRequest
from models.index.fusion import Fusion, FusionMethod, fuse
from models.reranking.query import QueryTokens, SearchedQuery
from models.retrieval.diversity import maximal_marginal_relevance
from models.retrieval.duplicates import unique
from models.retrieval.naming import names_of
from models.retrieval.router import contains_phrases
from models.retrieval.shown import distinct_shown
from models.types.arrays import FloatArray
from models.types.chunks import Passage
from models.types.ranking import LexicalRanking, Ranking
from models.types.request_context import RequestContext
from models.types.scope import Scope
from models.types.stage_results import Embeddings
from serve.pipelines.failures import attempt, raise_mistakes
from serve.pipelines.retrieving import RetrievalOptions, RetrievalQuery, Retrieved
from serve.pipelines.sentence_scores import sentence_scores
from serve.pipelines.stages import DenseStage, EmbedStage, GenerationSource, LexicalStage, PassageSource, RerankStage
from serve.pipelines.trace import Degraded, Trace, stage_of

NO_WORDS = LexicalRanking(Ranking.empty(), {})


DenseCause = Literal["embed", "dense"]


class RetrievalConfig(BaseModel):
    """Budgets, breadth and order of retrieval; defaults for the choices of a request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    search_s: float = Field(default=5.0, gt=0, le=600, description="Time for embedding and search, in seconds.")
    rerank_s: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="Time for reranking, in seconds; candidates that are not read by then keep the fused order.",
    )
    candidates: int = Field(default=50, ge=1, le=500, description="Chunks that each search returns.")
    rerank_candidates: int = Field(default=30, ge=1, le=500, description="Fused chunks that are reranked.")
    stored_token_vectors: bool = Field(
        default=True,
        description="Rerank by the token vectors that ingestion stored, if the Reranker's model is late interaction; "
        "false: by its forward passes.",
    )
    fusion: FusionMethod = Field(default="min_max", description="How rankings are merged: min_max or rrf.")
    dense_weight: float = Field(default=0.5, ge=0, le=1, description="Weight of the dense search in fusion.")
    lexical_weight: float = Field(default=0.5, ge=0, le=1, description="Weight of the keyword search in fusion.")
    duplicate_similarity: float = Field(
        default=0.9, gt=0, le=1, description="Passages with this Jaccard similarity of shingles or more are duplicates."
    )
    keyword_only_without: tuple[DenseCause, ...] = Field(
        default=("embed", "dense"),
        max_length=2,
        description="A question is searched by keywords alone while one of these stages fails: embed, dense (the "
        "vector database). Without it here, the question fails with 503 or 504.",
    )

    @property
    def budget_s(self) -> float:
        """Budget of a retrieval that belongs to no question."""
        return self.search_s + self.rerank_s


@dataclass(frozen=True)
class RetrievalStages:
    """The parts of retrieval, by role."""

    embedder: EmbedStage
    dense: DenseStage
    lexical: LexicalStage
    reranker: RerankStage
    passages: PassageSource
    generations: GenerationSource


@dataclass(frozen=True)
class DenseHits:
    """The dense search in one generation, and the query's token vectors in it, if the embedder sent them."""

    ranking: Ranking
    tokens: QueryTokens | None


class RetrievalPipeline:
    """embed -> dense || keyword search -> fuse -> rerank -> diversify. Mode auto means hybrid: see RoutedRetrieval."""

    def __init__(self, stages: RetrievalStages, config: RetrievalConfig) -> None:
        self._stages, self._config = stages, config

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """As Retrieving."""
        trace = trace or Trace()
        candidates, searched, cosine = await self._candidates(query, trace, context)
        relevance = None
        if query.options.rerank:
            candidates, relevance = await self._rerank(searched, candidates, trace, context)
        passages = await self._select(query, candidates)
        scores = await self._score_sentences(passages, searched, trace, context) if query.sentences else ()
        signals = Signals(relevance, cosine, len(candidates))
        return Retrieved(passages, searched.term_weights, trace, len(candidates), scores, signals)

    async def _candidates(
        self, query: RetrievalQuery, trace: Trace, context: RequestContext
    ) -> tuple[list[Passage], SearchedQuery, float | None]:
        """The fused hits of the searches as passages, best first, without deleted ones and duplicates.

        Also the query as the searches know it, and the cosine of the nearest chunk.
        """
        dense, lexical = await self._search(query, trace, context.at_most(self._config.search_s))
        with trace.timed("fuse"):
            fused = self._fuse(query.options, [hits.ranking for hits in dense], lexical.ranking)
            keys = fused.keys[: self._depth(query)].tolist()
            by_key = await asyncio.to_thread(self._stages.passages.passages, keys, query.scope)
            scores = zip(keys, fused.scores.tolist(), strict=False)
            passages = [by_key[key].scored(score) for key, score in scores if key in by_key]
            if query.phrases:
                passages = [passage for passage in passages if contains_phrases(passage.indexed_text, query.phrases)]
            if query.options.dedup:
                texts = [passage.indexed_text for passage in passages]
                limit, names = self._num_distinct(query), names_of(passages)
                distinct = unique(texts, self._config.duplicate_similarity, query.text, limit, names)
                passages = [passages[index] for index in distinct]
        tokens = tuple(hits.tokens for hits in dense if hits.tokens is not None)
        cosine = max((float(hits.ranking.scores[0]) for hits in dense if len(hits.ranking)), default=None)
        return passages, SearchedQuery(query.text, lexical.term_weights, tokens), cosine

    async def _search(
        self, query: RetrievalQuery, trace: Trace, context: RequestContext
    ) -> tuple[list[DenseHits], LexicalRanking]:
        """The mode's searches, both at once. One of two may fail. If both fail, the dense search's error is raised."""
        calls: dict[Degraded, Coroutine[Any, Any, Any]] = {}
        if query.options.mode != "lexical":
            calls["dense"] = self._dense(query, trace, context)
        if query.options.mode != "dense":
            calls["lexical"] = self._lexical(query, trace, context)
        results = dict(zip(calls, await asyncio.gather(*map(attempt, calls.values())), strict=True))
        failures = {name: result for name, result in results.items() if isinstance(result, RagError)}
        for error in failures.values():
            raise_mistakes(error)
        if len(failures) == len(results):
            raise next(iter(failures.values()))
        self._check_keyword_only(failures)
        for name, error in failures.items():
            trace.leave_out(name, error)
        answers: dict[Degraded, Any] = {name: result for name, result in results.items() if name not in failures}
        return answers.get("dense", []), answers.get("lexical", NO_WORDS)

    def _check_keyword_only(self, failures: Mapping[Degraded, RagError]) -> None:
        """Raises the dense search's error if keywords alone may not replace it, as the settings say."""
        error = failures.get("dense")
        cause: DenseCause = "embed" if error is not None and stage_of(error) == "embed" else "dense"
        if error is not None and cause not in self._config.keyword_only_without:
            raise error

    async def _dense(self, query: RetrievalQuery, trace: Trace, context: RequestContext) -> list[DenseHits]:
        """The hits in each generation that the vector stores in scope are searched in: nearly always one."""
        stores = await asyncio.to_thread(self._stages.generations.searched, query.scope)
        # One after the other, so that each stage's time is its own. A second generation is rare.
        return [
            await self._dense_in(query, generation, Scope(query.scope.tenant, ids), trace, context)
            for generation, ids in stores.items()
        ]

    async def _dense_in(
        self, query: RetrievalQuery, generation: str, scope: Scope, trace: Trace, context: RequestContext
    ) -> DenseHits:
        is_reranked = query.options.rerank and self._stages.reranker.reads_tokens(generation)
        with_tokens = is_reranked or (query.sentences and self._config.stored_token_vectors)
        with trace.timed("embed"):
            embedded = await self._stages.embedder.embed_query(query.text, context, generation, with_tokens)
        trace.models["embed"] = embedded.model
        if embedded.fell_back and "embed_fallback" not in trace.degraded:
            trace.fall_back("embed_fallback", "embed", embedded.fell_back)
        request = DenseRequest(embedded.vectors[0], generation, scope, self._depth(query), query.where)
        with trace.timed("dense"):
            ranking = await self._stages.dense.search(request, context)
        return DenseHits(ranking, _tokens(embedded, scope))

    async def _lexical(self, query: RetrievalQuery, trace: Trace, context: RequestContext) -> LexicalRanking:
        request = LexicalRequest(query.text, query.scope, self._depth(query), query.where)
        with trace.timed("lexical"):
            return await self._stages.lexical.search(request, context)

    def _depth(self, query: RetrievalQuery) -> int:
        return max(self._config.candidates, query.top_k)

    def _num_distinct(self, query: RetrievalQuery) -> int | None:
        """As many passages as are reranked or returned; all that were found if diversity chooses among them."""
        return None if query.options.diversity else max(self._config.rerank_candidates, query.top_k)

    def _fuse(self, options: RetrievalOptions, dense: list[Ranking], lexical: Ranking) -> Ranking:
        """Merge the rankings into one, scores 0 to 1."""
        dense_weight = _chosen(options.dense_weight, self._config.dense_weight)
        lexical_weight = _chosen(options.lexical_weight, self._config.lexical_weight)
        if options.mode == "dense" and len(dense) == 1:
            return Ranking(dense[0].keys, np.clip(dense[0].scores, 0, 1))
        weighted = [(ranking, dense_weight) for ranking in dense] + [(lexical, lexical_weight)]
        # A search without hits must not lower the scores, and its weight must not be the only one.
        rankings, weights = zip(*([pair for pair in weighted if len(pair[0])] or weighted), strict=True)
        if len(rankings) == 1:
            weights = (1.0,)
        return fuse(rankings, Fusion(options.fusion or self._config.fusion, weights))

    async def _rerank(
        self, query: SearchedQuery, candidates: list[Passage], trace: Trace, context: RequestContext
    ) -> tuple[list[Passage], float | None]:
        """The first candidates by the reranker's scores, then the others, and the best one's relevance.

        If it fails, the order stays.
        """
        head, tail = candidates[: self._config.rerank_candidates], candidates[self._config.rerank_candidates :]
        if not head:
            return [], None
        with trace.timed("rerank"):
            reranking = await attempt(self._stages.reranker.rerank(query, head, context.at_most(self._config.rerank_s)))
        raise_mistakes(reranking)
        if isinstance(reranking, RagError):
            trace.leave_out("rerank", reranking)
            return candidates, None
        trace.models["rerank"] = reranking.model
        if reranking.is_partial:
            trace.degraded.append("rerank_partial")
        if reranking.fell_back:
            trace.fall_back("rerank_fallback", "rerank", reranking.fell_back)
        unread = [passage for passage, score in zip(head, reranking.scores, strict=True) if np.isnan(score)]
        return _above(_best_first(head, reranking.scores), unread + tail), reranking.relevance

    async def _select(self, query: RetrievalQuery, candidates: list[Passage]) -> tuple[Passage, ...]:
        """The `top_k` best above the threshold that show different texts; with `diversity`, unlike each other."""
        options, candidates = query.options, distinct_shown(candidates)
        if options.score_threshold:
            candidates = [passage for passage in candidates if passage.score >= options.score_threshold]
        if not options.diversity or len(candidates) < 2:
            return tuple(candidates[: query.top_k])
        scores = np.array([passage.score for passage in candidates], np.float32)
        vectors = await asyncio.to_thread(self._vectors, candidates, query.scope)
        order = maximal_marginal_relevance(scores, vectors, query.top_k, options.diversity)
        return tuple(candidates[index] for index in order)

    async def _score_sentences(
        self, passages: tuple[Passage, ...], searched: SearchedQuery, trace: Trace, context: RequestContext
    ) -> tuple[FloatArray, ...]:
        """See sentence_scores. Without them, quoted sentences are chosen by their words alone."""
        if not passages or not searched.tokens:
            return ()
        with trace.timed("sentences"):
            early = context.at_most(self._config.rerank_s)
            scores = await attempt(sentence_scores(self._stages.dense, searched.tokens, passages, early))
        if isinstance(scores, RagError):
            trace.leave_out("sentences", scores)
            return ()
        return scores

    def _vectors(self, passages: Sequence[Passage], scope: Scope) -> FloatArray:
        """A row a passage, in the first generation searched. Zeros stand for a missing vector: similar to nothing."""
        generation = next(iter(self._stages.generations.searched(scope)), "")
        by_key = self._stages.passages.vectors_of([passage.key for passage in passages], generation, scope)
        dim = len(next(iter(by_key.values()))) if by_key else 1
        return np.stack([by_key.get(passage.key, np.zeros(dim, np.float32)) for passage in passages])


def _best_first(passages: list[Passage], scores: FloatArray) -> list[Passage]:
    """The passages with their new scores, without those that have none (NaN)."""
    order = [index for index in np.argsort(-scores, kind="stable") if not np.isnan(scores[index])]
    return [passages[index].scored(float(scores[index])) for index in order]


def _above(reranked: list[Passage], tail: list[Passage]) -> list[Passage]:
    """Both, best first. The tail has another scale of scores, which is shrunk to end below `reranked`."""
    floor = max(0.0, reranked[-1].score)
    return reranked + [passage.scored(floor * passage.score / max(tail[0].score, 1e-9)) for passage in tail]


def _tokens(embedded: Embeddings, scope: Scope) -> QueryTokens | None:
    if embedded.query_tokens is None or embedded.query_spans is None:
        return None
    return QueryTokens(embedded.generation, scope, embedded.query_tokens, embedded.query_spans)


def _chosen(requested: float | None, configured: float) -> float:
    return configured if requested is None else requested
