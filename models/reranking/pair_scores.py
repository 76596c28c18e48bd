"""Scores of pairs whose request was cut short, for the same request again."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.reranking.base import RerankRequest, RerankWork
from models.types.arrays import FloatArray

MAX_PAIRS = 10_000  # 2 MB


@dataclass(frozen=True)
class PairState:
    """Between `tokenize` and `finish`: the scores (n,) that are kept, else NaN, and the places of the other texts."""

    scores: FloatArray
    missing: tuple[int, ...]

    def missing_texts(self, request: RerankRequest) -> list[str]:
        return [request.texts[place] for place in self.missing]


class PairScores:
    """Keeps a cross-encoder's outputs until a request for them is complete. Safe to call from several threads.

    A cross-encoder has nothing to reuse for another query. The same query again is work for a cache of answers. But
    without this, a query that takes longer than its budget would begin anew each time.
    """

    def __init__(self, max_pairs: int = MAX_PAIRS) -> None:
        self._max_pairs = max_pairs
        self._scores: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def look_up(self, request: RerankRequest) -> PairState:
        """What an earlier request left behind."""
        with self._lock:
            earlier = [self._scores.get(_key(request, text), np.nan) for text in request.texts] if self._scores else []
        scores = np.array(earlier or [np.nan] * len(request.texts), np.float32)
        return PairState(scores, tuple(np.flatnonzero(np.isnan(scores)).tolist()))

    def keep(self, work: RerankWork, place: int, output: float) -> None:
        """As RerankingModel."""
        key = _key(work.request, work.request.texts[work.state.missing[place]])
        with self._lock:
            self._scores[key] = output
            if len(self._scores) > self._max_pairs:
                self._scores.popitem(last=False)

    def finish(self, work: RerankWork, outputs: Sequence[Any | None]) -> FloatArray:
        """As RerankingModel. Drops the scores of a complete request."""
        scores = work.state.scores.copy()
        scores[list(work.state.missing)] = [np.nan if output is None else output for output in outputs]
        if not np.isnan(scores).any():
            with self._lock:
                for text in work.request.texts:
                    self._scores.pop(_key(work.request, text), None)
        return scores


def _key(request: RerankRequest, text: str) -> bytes:
    query = request.query.encode()
    return hashlib.blake2b(b"%d " % len(query) + query + text.encode(), digest_size=16).digest()
