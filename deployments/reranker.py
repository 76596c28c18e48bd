"""Reranking: the stage that scores each candidate together with the query."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from pydantic import Field

from deployments.calls.client import StageClient
from deployments.calls.coalescer import answers_of
from deployments.calls.envelope import Envelope
from deployments.replica.fair_shares import NO_FLOW, Flow
from deployments.replica.liveness import STUCK_S
from deployments.replica.model_list import ListedConfig, ModelList
from deployments.replica.model_loader import ModelLoader, is_remote
from deployments.replica.model_slot import ModelSlot
from deployments.replica.received import received
from deployments.replica.start import start_replica
from deployments.replica.token_batcher import TokenBatcher
from deployments.replica.user_config import TokenBatchedConfig, parse_user_config
from deployments.telemetry.metrics.serving_models import observe_model
from models.catalog import Catalog
from models.deadline import Deadline
from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.stages import DeadlineExceededError
from models.reranking.base import RerankingModel, RerankRequest
from models.reranking.blend import blend
from models.reranking.query import SearchedQuery
from models.reranking.token_scoring import token_generations
from models.stage_status import StageStatus, TokenScoring
from models.types.arrays import FloatArray
from models.types.chunks import Passage
from models.types.request_context import RequestContext
from models.types.stage_results import FellBack, Relevance, Reranking

R = TypeVar("R", Reranking, Relevance)
# Fraction of a budget that is left for the way back to the caller, which a busy machine makes long: 1 s of the default.
ANSWER_TIME = 0.1
PROBE = RerankRequest("health", ("health",))


class RerankerConfig(TokenBatchedConfig, ListedConfig):
    """Reranker's user_config."""

    model: str = Field(
        default="late-interaction", description="Catalog alias of a reranking model; or a list, tried in order."
    )
    retrieval_weight: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Weight of the retrieval rank in the final order. 0: only the reranker. None: the model's default.",
    )


class Reranker:
    """The replica: a model, and a batcher in which the candidates of concurrent requests share forward passes.

    A canary gets a share of the queries, always the same ones.
    """

    stage = "rerank"

    def __init__(self, catalog: Catalog) -> None:
        start_replica(self.stage)
        self._config = RerankerConfig()
        self._catalog = catalog
        self._loader: ModelLoader[RerankingModel] = ModelLoader(catalog, "reranking", _warm_up)
        self._generations: dict[str, tuple[str, ...]] = {}  # by alias: see token_generations
        self._models: ModelList[RerankingModel] = ModelList(
            "rerank", lambda: ModelSlot("rerank", self._load, fits_beside=self._loader.fits_beside), self._config
        )
        self._batcher = TokenBatcher("rerank", self._config)

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Wait for the first model. Later return at once: a new model serves when it is loaded, see ModelSlot."""
        self._config = parse_user_config(RerankerConfig, user_config)
        self._batcher.configure(self._config)
        await self._models.choose(self._config)

    @property
    def _slot(self) -> ModelSlot[RerankingModel]:
        """That of the only model, or of the first one in the list."""
        return self._models.first

    async def rerank(self, request: RerankRequest, envelope: Envelope) -> Reranking:
        """A score for each text of the request, in order, blended with that order, which is retrieval's.

        If time is short, the first texts are read first, and the score of an unread one is NaN. Raises
        DeadlineExceededError if the time does not suffice for any, or if it does not suffice the canary for all.
        """

        async def work(model: RerankingModel, context: RequestContext) -> Reranking:
            budget_s, flow = context.remaining_s(), Flow.of(envelope)
            scores, num_tokens = await self._score_in_time(model, request, budget_s, flow)
            relevance = float(np.nanmax(model.to_relevance(scores))) if len(scores) else None
            blended = blend(scores, self._retrieval_weight(model))
            return Reranking(blended, model.name, relevance=relevance, num_tokens=num_tokens)

        reranking, failed, fell_back = await self._answer(request.query, work, envelope.to_context())
        return replace(reranking, failed_canary=failed, fell_back=fell_back)

    @received
    async def rerank_batch(
        self, requests: list[RerankRequest], envelopes: list[Envelope]
    ) -> list[Reranking | RagError]:
        """A message of requests, each of which may fail alone."""
        return await answers_of("rerank", envelopes, map(self.rerank, requests, envelopes))

    @received
    async def score(self, request: RerankRequest, envelope: Envelope) -> Relevance:
        """The model's own scores and their relevance, in the order of the texts, which does not affect them."""

        async def work(model: RerankingModel, context: RequestContext) -> Relevance:
            scores, num_tokens = await self._score(model, request, context.deadline, Flow.of(envelope))
            return Relevance(model.to_relevance(scores), scores, model.name, num_tokens)

        relevance, failed, fell_back = await self._answer(request.query, work, envelope.to_context())
        return replace(relevance, failed_canary=failed, fell_back=fell_back)

    async def _answer(
        self, query: str, work: Callable[[RerankingModel, RequestContext], Awaitable[R]], context: RequestContext
    ) -> tuple[R, str, FellBack]:
        if self._models.is_single:
            result, failed = await self._slot.answer(query, work, context)
            return result, failed, ()
        return await self._models.answer(query, work, context)

    async def _load(self, alias: str) -> RerankingModel:
        model = await self._loader.load(alias)
        self._generations[alias] = await asyncio.to_thread(token_generations, self._catalog, alias)
        return model

    def _retrieval_weight(self, model: RerankingModel) -> float:
        configured = self._config.retrieval_weight
        return model.retrieval_weight if configured is None else configured

    async def _score_in_time(
        self, model: RerankingModel, request: RerankRequest, budget_s: float, flow: Flow
    ) -> tuple[FloatArray, int]:
        """A score for each text that the model has time to read, NaN for the others; and the tokens that it read."""
        deadline = Deadline.after((1 - ANSWER_TIME) * budget_s)
        work = await self._batcher.tokenize(model.tokenize, request)
        outputs = await self._batcher.run_until(model, work.encodings, deadline, partial(model.keep, work), flow)
        scores: FloatArray = await self._batcher.tokenize(model.finish, work, outputs)
        is_unread = np.isnan(scores)
        if is_unread.any() and (is_unread.all() or model is self._slot.canary):
            raise DeadlineExceededError("rerank", budget_s)
        pairs = zip(work.encodings, outputs, strict=True)
        return scores, sum(len(encoding) for encoding, output in pairs if output is not None)

    async def _score(
        self, model: RerankingModel, request: RerankRequest, deadline: Deadline, flow: Flow = NO_FLOW
    ) -> tuple[FloatArray, int]:
        """A score for each text, and the number of tokens that the model read."""
        work = await self._batcher.tokenize(model.tokenize, request)
        outputs = await self._batcher.run(model, work.encodings, deadline, partial(model.keep, work), flow)
        scores = await self._batcher.tokenize(model.finish, work, outputs)
        return scores, sum(map(len, work.encodings))

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Read by Serve: see deployments/autoscaling.py."""
        return self._batcher.meter.stats()

    async def status(self) -> StageStatus:
        status = self._models.status(self._batcher.num_unfinished)
        options = f"retrieval_weight={self._config.retrieval_weight}"
        return replace(status, options=options, token_scoring=self._token_scoring(status))

    def _token_scoring(self, status: StageStatus) -> TokenScoring | None:
        generations = self._generations.get(status.model, ())
        if not generations or status.canary or self._slot.is_down:
            return None
        return TokenScoring(status.model, self._retrieval_weight(self._slot.serving), generations)

    async def check_health(self) -> None:
        """Serve's probe: see Liveness. An idle model scores one pair."""
        self._models.check_health()
        # Without a serving model, a swap is under way, or another model of the list serves.
        if not self._slot.is_down and not is_remote(self._slot.serving):
            await self._batcher.liveness.check(self._probe)

    async def _probe(self) -> None:
        with suppress(OverloadedError):  # a full queue is healthy
            await self._score(self._slot.serving, PROBE, Deadline.after(STUCK_S))


async def _warm_up(model: RerankingModel) -> None:
    if not is_remote(model):
        await asyncio.to_thread(lambda: model.forward(model.tokenize(PROBE).encodings))


class RerankerClient(StageClient):
    """Calls the reranker. Satisfies serve.pipelines.stored_tokens.TokenReranker."""

    def reads_tokens(self, generation: str) -> bool:
        return False  # it makes its own

    async def rerank(self, query: SearchedQuery, candidates: list[Passage], context: RequestContext) -> Reranking:
        texts = tuple(passage.indexed_text for passage in candidates)
        request = RerankRequest(query.text, texts, query.term_weights)
        return await self._observe_model(self.shared_call("rerank_batch", request, context))

    async def score(self, query: str, texts: Sequence[str], context: RequestContext) -> Relevance:
        return await self._score_request(RerankRequest(query, tuple(texts)), context)

    async def score_as_stored(
        self, query: SearchedQuery, candidates: list[Passage], context: RequestContext
    ) -> Relevance:
        texts = tuple(passage.indexed_text for passage in candidates)
        return await self._score_request(RerankRequest(query.text, texts, query.term_weights, as_stored=True), context)

    async def _score_request(self, request: RerankRequest, context: RequestContext) -> Relevance:
        return await self._observe_model(self.call("score", request, Envelope.of(context), context=context))

    async def _observe_model(self, call: Coroutine[Any, Any, R]) -> R:
        start = time.perf_counter()
        answer = await call
        observe_model(self.stage, answer.model, time.perf_counter() - start, answer.failed_canary)
        return answer
