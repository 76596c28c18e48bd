"""The exact identifier before near ones, around a reranker and around a search that nothing reranks.

Models compare the parts of an identifier as a set, so 3.2.1 is as good as 1.2.3 to them. A keyword search finds 1.2.3
for 1.2 as well, as it should: only the order is wrong.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.languages.same_form import exact_names, match_of
from models.reranking.query import SearchedQuery
from models.types.arrays import FloatArray
from models.types.chunks import Passage
from models.types.request_context import RequestContext
from models.types.stage_results import Relevance, Reranking
from serve.pipelines.retrieving import RetrievalQuery, Retrieved, Retrieving
from serve.pipelines.stages import RerankStage
from serve.pipelines.trace import Trace

GAP = 1e-4  # between two scores, as a fraction
MIN_DEPTH = 50  # passages of a keyword search among which the exact ones are looked for


class ExactIdentifiers:
    """A RerankStage. A candidate with another identifier of the form that the query names comes after an exact one."""

    def __init__(self, reranker: RerankStage) -> None:
        self._reranker = reranker

    def reads_tokens(self, generation: str) -> bool:
        return self._reranker.reads_tokens(generation)

    async def rerank(self, query: SearchedQuery, candidates: list[Passage], context: RequestContext) -> Reranking:
        reranking = await self._reranker.rerank(query, candidates, context)
        names = exact_names(query.text)
        if not names:
            return reranking
        return replace(reranking, scores=exact_first(reranking.scores, candidates, names))

    async def score(self, query: str, texts: Sequence[str], context: RequestContext) -> Relevance:
        return await self._reranker.score(query, texts, context)


class ExactRetrieval:
    """Satisfies Retrieving: the same for a query that is not reranked, such as an identifier alone."""

    def __init__(self, retrieval: Retrieving) -> None:
        self._retrieval = retrieval

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """As Retrieving."""
        names = frozenset[str]() if query.options.rerank or query.options.diversity else exact_names(query.text)
        if not names:
            return await self._retrieval.retrieve(query, context, trace)
        deep = replace(query, top_k=max(query.top_k, MIN_DEPTH))
        retrieved = await self._retrieval.retrieve(deep, context, trace)
        passages = retrieved.passages
        scores = exact_first(np.array([passage.score for passage in passages], np.float32), passages, names)
        order = np.argsort(-scores, kind="stable")[: query.top_k].tolist()
        sentences = tuple(retrieved.sentence_scores[place] for place in order if retrieved.sentence_scores)
        best = tuple(passages[place].scored(float(scores[place])) for place in order)
        return replace(retrieved, passages=best, sentence_scores=sentences)


def exact_first(scores: FloatArray, candidates: Sequence[Passage], names: frozenset[str]) -> FloatArray:
    """Lower the scores of near candidates below the best exact one, in their order. NaN scores stay."""
    matches = np.array([match_of(passage.indexed_text, names) or "" for passage in candidates], object)
    is_exact = (matches == "exact") & np.isfinite(scores)
    if not is_exact.any():
        return scores
    best = scores[is_exact].max()
    above = np.flatnonzero((matches == "near") & (scores >= best))
    lowered = scores.copy()
    lowered[above[np.argsort(-scores[above], kind="stable")]] = best - GAP * max(abs(best), GAP) * np.arange(
        1, len(above) + 1
    )
    return lowered
