"""What the rerankers behind a URL share: a pair is text and query, and one request has one query."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from pydantic import Field

from models.errors.model_failures import ModelUnavailableError
from models.remote.client import blocking_client, request_headers, translated
from models.remote.config import RemoteConfig
from models.remote.encoding import MAX_PASSES, RemoteEncoding, remote_encoding
from models.remote.origin import current_origin
from models.remote.rate_limit import RateLimit
from models.reranking.base import RerankRequest, RerankWork
from models.reranking.pair_scores import PairScores
from models.tokens.encoding import Encoding
from models.types.arrays import FloatArray

STAGE = "rerank"


class RemoteRerankerConfig(RemoteConfig):
    """An entry of kind `cohere`, `jina` or `tei`."""

    max_texts: int = Field(default=100, ge=1, le=10_000, description="Most texts of one request.")
    max_chars: int = Field(default=8_000, ge=64, le=1_000_000, description="A longer text is cut.")


class RemoteReranker(ABC):
    """A RerankingModel over HTTP. A score is the server's relevance, 0 to 1."""

    config_class = RemoteRerankerConfig
    retrieval_weight = 0.0  # as for a cross-encoder: it reads both texts together
    is_remote = True

    def __init__(self, name: str, config: RemoteRerankerConfig) -> None:
        self.name, self.runs_on = name, config.base_url
        self.passes_at_once = min(config.max_concurrency, MAX_PASSES)
        self._config = config
        self._client = blocking_client(name, STAGE, config)
        self._rate = RateLimit(STAGE, config.max_requests_per_minute)
        self._unfinished = PairScores()

    @abstractmethod
    def scores_of(self, query: str, texts: list[str]) -> dict[int, float]:
        """The score of each text by its place: one request to the server."""

    def tokenize(self, request: RerankRequest) -> RerankWork:
        state, size = self._unfinished.look_up(request), self._config.max_chars
        texts = [text[:size] for text in state.missing_texts(request)]
        return RerankWork(request, tuple(remote_encoding(text, request.query) for text in texts), state)

    def forward(self, batch: Sequence[Encoding]) -> list[float]:
        """One score per pair; a request for each query. Raises as `translated`."""
        pairs = [pair for pair in batch if isinstance(pair, RemoteEncoding)]
        scores = [0.0] * len(pairs)
        order = sorted(range(len(pairs)), key=lambda place: pairs[place].query)
        for query, group in groupby(order, key=lambda place: pairs[place].query):
            places = list(group)
            texts = [str(pairs[place].content) for place in places]
            for place, score in zip(places, self._score(query, texts), strict=True):
                scores[place] = score
        return scores

    def keep(self, work: RerankWork, place: int, output: float) -> None:
        self._unfinished.keep(work, place, output)

    def finish(self, work: RerankWork, outputs: Sequence[float | None]) -> FloatArray:
        return self._unfinished.finish(work, outputs)

    def to_relevance(self, scores: FloatArray) -> FloatArray:
        return np.clip(scores, 0, 1)

    def _score(self, query: str, texts: list[str]) -> list[float]:
        size = self._config.max_texts
        return [
            score for start in range(0, len(texts), size) for score in self._request(query, texts[start : start + size])
        ]

    def _request(self, query: str, texts: list[str]) -> list[float]:
        self._rate.wait(min(self._config.timeout_s, current_origin().deadline.remaining_s()))
        with translated(self.name, STAGE):
            scores = self.scores_of(query, texts)
            ordered = [float(scores[place]) for place in range(len(texts))]
        if not np.isfinite(ordered).all():
            raise ModelUnavailableError(STAGE, self.name, "its server sent scores that are not finite")
        return ordered

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        headers = request_headers(self._config)
        return self._client.post(path, body=body, cast_to=object, options={"headers": headers})
