"""A reranker around a reranker: the exact identifier comes before near ones.

Models compare the parts of an identifier as a set, so 3.2.1 is as good as 1.2.3 to them.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.languages.same_form import has_exact, has_near, named
from models.reranking.query import SearchedQuery
from models.types import FloatArray, Passage, Relevance, RequestContext, Reranking
from serve.pipelines.stages import RerankStage

GAP = 1e-4  # between two scores, as a fraction


class ExactIdentifiers:
    """A RerankStage. A candidate with another identifier of the form that the query names comes after an exact one."""

    def __init__(self, reranker: RerankStage) -> None:
        self._reranker = reranker

    def reads_tokens(self, generation: str) -> bool:
        return self._reranker.reads_tokens(generation)

    async def rerank(self, query: SearchedQuery, candidates: list[Passage], context: RequestContext) -> Reranking:
        reranking = await self._reranker.rerank(query, candidates, context)
        names = named(query.text)
        if not names:
            return reranking
        return replace(reranking, scores=exact_first(reranking.scores, candidates, names))

    async def score(self, query: str, texts: Sequence[str], context: RequestContext) -> Relevance:
        return await self._reranker.score(query, texts, context)


def exact_first(scores: FloatArray, candidates: Sequence[Passage], names: frozenset[str]) -> FloatArray:
    """Lower the scores of near candidates below the best exact one, in their order. NaN scores stay."""
    texts = [passage.indexed_text for passage in candidates]
    is_exact = np.array([has_exact(text, names) for text in texts]) & np.isfinite(scores)
    if not is_exact.any():
        return scores
    best = scores[is_exact].max()
    is_near = np.array([has_near(text, names) for text in texts]) & ~is_exact & (scores >= best)
    above = np.flatnonzero(is_near)
    lowered = scores.copy()
    lowered[above[np.argsort(-scores[above], kind="stable")]] = best - GAP * max(abs(best), GAP) * np.arange(
        1, len(above) + 1
    )
    return lowered
