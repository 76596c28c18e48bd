"""Dense search: nearest neighbours by vector, in FAISS indexes that follow the log, or in Milvus."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from deployments.calls.client import StageClient
from deployments.calls.coalescer import AS_SHIPPED, CoalescingConfig
from deployments.calls.envelope import Envelope
from deployments.calls.handle import Handle
from deployments.calls.stage_breaker import StageBreaker
from deployments.replica.message_batcher import MessageBatcher
from deployments.replica.received import received
from deployments.replica.searcher import Search, Searcher, Timed
from deployments.replica.storage import StorageConfig
from deployments.replica.user_config import BatchedStageConfig, parse_user_config
from deployments.telemetry.metrics.stages import breaker_counter
from models.corpus.views import Shard
from models.index.faiss_config import FaissConfig
from models.index.faiss_index import FaissIndex
from models.index.follow import DenseRequest, DenseSearch, merge
from models.index.milvus_search import MilvusDenseSearch
from models.index.token_search import SentenceScoreRequest, TokenScoreRequest, TokenSearch
from models.stage_status import StageStatus
from models.types.arrays import FloatArray, KeyArray
from models.types.ranking import Ranking
from models.types.request_context import RequestContext


class DenseSearcherConfig(BatchedStageConfig):
    """DenseSearcher's user_config."""

    index: FaissConfig = Field(default=FaissConfig(), description="The kind of index. Milvus ignores it.")


class DenseSearcher(Searcher):
    """The replica of one shard: DenseRequests in, Rankings out; TokenScoreRequests in, scores out.

    The token vectors of the shard's chunks lie beside its index, so that a query's few token vectors travel, not those
    of its candidates.
    """

    stage = "dense"
    _index: FaissConfig | None = None

    def __init__(self, storage: StorageConfig, shard: Shard | None = None) -> None:
        """`shard` None: all chunks."""
        super().__init__(storage)
        self._shard = shard
        self._tokens = TokenSearch(self._corpus.views, storage.token_folder, shard)
        self._scores = MessageBatcher(self.score_messages, "score_tokens")
        self._sentence_scores = MessageBatcher(self.score_sentence_messages, "score_sentences")

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        config = parse_user_config(DenseSearcherConfig, user_config)
        if self._index != config.index:
            self.start(self._make(config.index))
            self._index = config.index
        for batcher in (self._searches, self._scores, self._sentence_scores):
            batcher.configure(config)

    @received
    async def score_tokens(self, requests: list[TokenScoreRequest], envelopes: list[Envelope]) -> list[Any]:
        """The MaxSim scores of each request's chunks, NaN for a chunk without token vectors here.

        An error in the place of a request that failed or is late.
        """
        return await self.metered(self._scores, requests, envelopes)

    async def score_messages(self, messages: list[list[Timed]]) -> list[list[Any]]:
        """The scores of all `messages`, by message. As search_messages."""
        return await self.answer_messages(self._tokens.score, messages)

    @received
    async def score_sentences(self, requests: list[SentenceScoreRequest], envelopes: list[Envelope]) -> list[Any]:
        """The MaxSim scores of the sentences of each request's chunks. Errors as score_tokens."""
        return await self.metered(self._sentence_scores, requests, envelopes)

    async def score_sentence_messages(self, messages: list[list[Timed]]) -> list[list[Any]]:
        """The scores of the sentences of all `messages`, by message. As search_messages."""
        return await self.answer_messages(self._tokens.score_sentences, messages)

    def maintain_step(self) -> bool:
        has_more = super().maintain_step()
        return self._tokens.maintain() or has_more

    async def status(self) -> StageStatus:
        return replace(await super().status(), options=f"index={self._index}")

    def _make(self, index: FaissConfig) -> Search:
        milvus = self._storage.milvus
        if milvus is not None:
            count = breaker_counter("milvus")
            return MilvusDenseSearch(self._corpus.views, self._corpus.positions, milvus, count)
        snapshots = self._storage.snapshots()
        return DenseSearch(self._corpus.views, lambda dim: FaissIndex(dim, index), snapshots, self._shard)


class DenseSearcherClient:
    """Calls every shard, and merges their rankings. Satisfies serve.pipelines.stages.DenseStage."""

    stage = "dense"

    def __init__(self, handles: Sequence[Handle], coalescing: CoalescingConfig = AS_SHIPPED) -> None:
        self._shards = [StageClient(handle, self.stage, coalescing) for handle in handles]
        self._scorers = [StageClient(handle, "score_tokens", coalescing) for handle in handles]  # timed on their own

    @property
    def breakers(self) -> list[StageBreaker]:
        """Of each shard."""
        return [client.breaker for client in (*self._shards, *self._scorers)]

    async def search(self, request: DenseRequest, context: RequestContext) -> Ranking:
        """The best hits of all shards. Raises the error of any shard: a partial ranking would be wrong."""
        calls = (shard.shared_call("search", request, context) for shard in self._shards)
        return merge(await asyncio.gather(*calls), request.k)

    async def score_tokens(self, request: TokenScoreRequest, context: RequestContext) -> FloatArray:
        """The score of each chunk, from the shard that has it; NaN without stored token vectors. Raises as `search`."""
        # Each shard is sent its own chunks only: it would read the log for those that it lacks.
        places = _places_by_shard(request.keys, len(self._scorers))
        calls = (
            self._scorers[number].shared_call("score_tokens", replace(request, keys=request.keys[own]), context)
            for number, own in places.items()
        )
        scores = np.full(len(request.keys), np.nan, np.float32)
        for own, of_shard in zip(places.values(), await asyncio.gather(*calls), strict=True):
            scores[own] = of_shard
        return scores

    async def score_sentences(self, request: SentenceScoreRequest, context: RequestContext) -> tuple[FloatArray, ...]:
        """The scores of each chunk's sentences, from the shard that has it. Raises as `search`."""
        places = _places_by_shard(request.chunks.keys, len(self._scorers))
        calls = (
            self._scorers[number].shared_call("score_sentences", _part(request, own), context)
            for number, own in places.items()
        )
        answers = zip(places.values(), await asyncio.gather(*calls), strict=True)
        scores = {place: of_chunk for own, of_shard in answers for place, of_chunk in zip(own, of_shard, strict=True)}
        return tuple(scores[place] for place in range(len(request.chunks.keys)))

    async def status(self, context: RequestContext) -> StageStatus:
        """Raises if a shard has no replica that can answer."""
        statuses = await asyncio.gather(*(shard.status(context) for shard in self._shards))
        return replace(statuses[0], options="; ".join(status.options for status in statuses))


def _places_by_shard(keys: KeyArray, count: int) -> dict[int, NDArray[np.intp]]:
    """Where the keys of each shard are in `keys`: see Shard."""
    numbers = keys % count
    return {number: np.flatnonzero(numbers == number) for number in np.unique(numbers).tolist()}


def _part(request: SentenceScoreRequest, places: NDArray[np.intp]) -> SentenceScoreRequest:
    chunks = replace(request.chunks, keys=request.chunks.keys[places])
    return SentenceScoreRequest(chunks, tuple(request.spans[place] for place in places))
