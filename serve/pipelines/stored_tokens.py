"""Reranking by the token vectors that ingestion stored: late interaction without a forward pass over candidates.

`StoredTokenReranking.rerank` is the path; read it first.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from deployments.telemetry.metrics.serving_models import RERANKED_CANDIDATES, observe_model
from models.deadline import Deadline
from models.errors.base import RagError
from models.index.token_search import TokenScoreRequest
from models.reranking.blend import blend
from models.reranking.late_interaction import token_weights
from models.reranking.query import SearchedQuery
from models.stage_status import TokenScoring
from models.types.arrays import FloatArray, KeyArray
from models.types.chunks import Passage
from models.types.request_context import BACKGROUND_PRIORITY, RequestContext
from models.types.stage_results import Relevance, Reranking
from serve.pipelines.failures import attempt
from serve.pipelines.stages import DenseStage, RerankStage, StatusSource

REFRESH_S = 2.0  # a changed model, weight or canary takes effect within this time
ANSWER_S = 5.0
STORED_TIME = 0.5  # of a reranking's remaining time; if the dense searchers are late, the Reranker has the other half


class TokenReranker(RerankStage, Protocol):
    """A reranker whose model may be late interaction."""

    async def score_as_stored(
        self, query: SearchedQuery, candidates: list[Passage], context: RequestContext
    ) -> Relevance:
        """The scores that the candidates would have if their token vectors were stored."""


class StoredTokenReranking:
    """A RerankStage around the Reranker's: where its model is late interaction, the dense searchers score instead.

    They have the token vectors of their chunks, if ingestion stored them. The Reranker scores the other candidates,
    and reranks alone if its model is of another kind or a canary is on trial.
    """

    def __init__(self, reranker: TokenReranker, dense: DenseStage, statuses: StatusSource) -> None:
        """`statuses` are the Reranker's."""
        self._reranker, self._dense, self._statuses = reranker, dense, statuses
        self._scoring: TokenScoring | None = None

    async def run(self) -> None:
        """Follow the Reranker's model until cancelled. It is background work, so no request waits for it."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_S)

    async def refresh(self) -> None:
        """Ask the Reranker for its model. If no replica answers, the last answer stays: nothing else can change it."""
        context = RequestContext("token-scoring", "", Deadline.after(ANSWER_S), BACKGROUND_PRIORITY)
        status = await attempt(self._statuses.status(context))
        if not isinstance(status, RagError):
            self._scoring = status.token_scoring

    @property
    def is_late_interaction(self) -> bool:
        """Whether the Reranker's last status named a model whose token vectors are stored, so that answers need none
        of its replicas.
        """
        return self._scoring is not None

    def reads_tokens(self, generation: str) -> bool:
        return self._scoring is not None and generation in self._scoring.generations

    async def rerank(self, query: SearchedQuery, candidates: list[Passage], context: RequestContext) -> Reranking:
        """As RerankStage, within the same budget."""
        start, scoring = time.perf_counter(), self._scoring
        scores = await self._stored_scores(query, candidates, scoring, context) if scoring else None
        if scoring is None or scores is None:
            return await self._rerank_all(query, candidates, context)
        missing, num_tokens = np.flatnonzero(np.isnan(scores)), 0
        if len(missing):
            unread = [candidates[place] for place in missing]
            relevance = await attempt(self._reranker.score_as_stored(query, unread, context))
            if isinstance(relevance, Relevance):  # if not, they have no score, and stay below the others
                if relevance.model != scoring.model:  # replaced since, by a model whose scores have another scale
                    return await self._rerank_all(query, candidates, context)
                scores[missing], num_tokens = relevance.scores, relevance.num_tokens
        _count(len(scores) - len(missing), len(missing))
        observe_model("rerank", scoring.model, time.perf_counter() - start)
        highest = float(np.clip(np.nanmax(scores), 0, 1))  # as late interaction's to_relevance
        blended = blend(scores, scoring.retrieval_weight)
        return Reranking(blended, scoring.model, relevance=highest, num_tokens=num_tokens)

    async def score(self, query: str, texts: Sequence[str], context: RequestContext) -> Relevance:
        return await self._reranker.score(query, texts, context)

    async def _rerank_all(self, query: SearchedQuery, candidates: list[Passage], context: RequestContext) -> Reranking:
        _count(0, len(candidates))
        return await self._reranker.rerank(query, candidates, context)

    async def _stored_scores(
        self, query: SearchedQuery, candidates: list[Passage], scoring: TokenScoring, context: RequestContext
    ) -> FloatArray | None:
        """MaxSim for each candidate, NaN where no token vectors are stored; None if there are none for any of them.

        If the dense searchers fail or are late, nothing is lost but time: the Reranker can compute the same.
        """
        keys = np.array([candidate.key for candidate in candidates], np.int64)
        early = context.at_most(STORED_TIME * context.remaining_s())
        calls = (attempt(self._dense.score_tokens(request, early)) for request in _requests(query, keys, scoring))
        scores = np.full(len(keys), np.nan, np.float32)
        for answer in await asyncio.gather(*calls):
            if not isinstance(answer, RagError):
                scores = np.where(np.isnan(scores), answer, scores)
        return None if np.isnan(scores).all() else scores


def _requests(query: SearchedQuery, keys: KeyArray, scoring: TokenScoring) -> list[TokenScoreRequest]:
    """One for each generation whose token vectors the model would make: nearly always one."""
    return [
        TokenScoreRequest(
            tokens.vectors,
            token_weights(query.text, tokens.spans, query.term_weights),
            keys,
            tokens.generation,
            tokens.scope,
        )
        for tokens in query.tokens
        if tokens.generation in scoring.generations
    ]


def _count(num_stored: int, num_computed: int) -> None:
    RERANKED_CANDIDATES.labels("stored").inc(num_stored)
    RERANKED_CANDIDATES.labels("computed").inc(num_computed)
