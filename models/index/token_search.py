"""Late interaction over stored token vectors: one view for each vector store and generation, which follows the log.

A view is lost without harm: it is read again from its snapshot and the log. Chunks that were stored without token
vectors, by an earlier release or by a model that has none, are in no view.

A view that is behind the log is incomplete and never wrong, because the key of a chunk is never used again. So a view
that has all chunks of a request is not compared with the log, and a long rebuild is left to `maintain`.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.corpus.records import TokenChanges
from models.corpus.views import Shard, Views
from models.errors.requests import InvalidRequestError
from models.errors.stages import StageUnavailableError
from models.index.log_followers import (
    DenseKey,
    Followers,
    Source,
    existing_follower,
    recent_generations,
)
from models.index.snapshots import Snapshots
from models.index.token_codec import max_sim_scores, sentence_scores
from models.index.token_index import TokenIndex
from models.types.arrays import FloatArray, HalfArray, KeyArray
from models.types.scope import Scope

SCORE_STEPS = 2  # towards the log before an answer: a snapshot and one page
MAX_SWEPT_STORES = 1_000_000  # with more, snapshots of the others are deleted too, and made again

logger = logging.getLogger(__name__)

Blobs = list[memoryview | None]


@dataclass(frozen=True)
class TokenScoreRequest:
    """Chunks of `scope` to score by MaxSim in the vector space `generation`.

    `query` is (n, dim) float16 unit vectors of the query's tokens, `weights` (n,) float32 their weights.
    """

    query: HalfArray
    weights: FloatArray
    keys: KeyArray
    generation: str
    scope: Scope


@dataclass(frozen=True)
class SentenceScoreRequest:
    """Sentences of chunks to score. `spans` has for each key an (n, 2) array: the characters of its sentences.

    They count in the chunk's indexed text, which begins with its headings.
    """

    chunks: TokenScoreRequest
    spans: tuple[NDArray[np.int64], ...]


class TokenSearch:
    """Scores chunks by their stored token vectors, in all vector stores. Not thread-safe."""

    def __init__(self, views: Views, folder: Path, shard: Shard | None = None) -> None:
        """Keep snapshots and files in `folder`, which the replicas of one machine share. `shard` None: all chunks."""
        self._views, self._folder, self._shard = views, folder, shard
        self._snapshots, self._is_swept = Snapshots(folder), False
        self._followers = self._make_followers()

    def score(self, requests: list[TokenScoreRequest]) -> list[FloatArray]:
        """Return the scores (len(keys),) of each request, -1 to 1.

        NaN for a chunk without stored vectors, of another shard or outside the scope, and for a new chunk while the
        view is far behind the log. A removed chunk may have a score until the next `maintain`. Raises NotFoundError
        for an unknown store, InvalidRequestError for a query that does not fit the stored vectors,
        StageUnavailableError for a full disk.
        """
        return [_score(request, blobs) for request, blobs in zip(requests, self._blobs_of(requests), strict=True)]

    def score_sentences(self, requests: list[SentenceScoreRequest]) -> list[tuple[FloatArray, ...]]:
        """Return the scores of each chunk's sentences, NaN for one without tokens, and where `score` gives NaN.

        Raises as `score` does.
        """
        blobs_of = self._blobs_of([request.chunks for request in requests])
        return [_score_sentences(request, blobs) for request, blobs in zip(requests, blobs_of, strict=True)]

    def maintain(self) -> bool:
        """Do one step of updating the most recently changed stores, also in the generation they build.

        The first step deletes snapshots of stores and generations that are gone.
        """
        try:
            if not self._is_swept:
                self._sweep()
            return self._followers.maintain(recent_generations(self._views))
        except OSError as error:
            self._recover(error)
            return False

    def _blobs_of(self, requests: list[TokenScoreRequest]) -> list[Blobs]:
        """Return the blobs of each request's keys. Views that lack some take the next steps towards the log first."""
        try:
            blobs_of = [self._gather(request) for request in requests]
            incomplete = [number for number, blobs in enumerate(blobs_of) if None in blobs]
            if incomplete:
                self._catch_up({view for number in incomplete for view in _views_of(requests[number])})
            for number in incomplete:
                blobs_of[number] = self._gather(requests[number])
            return blobs_of
        except OSError as error:
            self._recover(error)
            raise StageUnavailableError("dense") from error

    def _recover(self, error: OSError) -> None:
        """Start again if the files are gone. Otherwise, as with a full disk, the next step may succeed."""
        logger.warning("token vectors are not updated; candidates are read by the model instead: %s", error)
        if isinstance(error, FileNotFoundError):
            self._followers = self._make_followers()

    def _make_followers(self) -> Followers[DenseKey, TokenChanges, TokenIndex]:
        return Followers(self._views, self._source, self._snapshots)

    def _catch_up(self, views: set[DenseKey]) -> None:
        followers = self._followers.up_to_date(views, SCORE_STEPS)
        for view in views:
            existing_follower(followers, view)

    def _gather(self, request: TokenScoreRequest) -> Blobs:
        """Collect the blobs of the request's keys. A key is in one of the stores at most."""
        blobs: Blobs = [None] * len(request.keys)
        for view in _views_of(request):
            follower = self._followers.current(view)
            if follower is not None and follower.index is not None:
                of_view = follower.index.get(request.keys)
                blobs = [old if new is None else new for old, new in zip(blobs, of_view, strict=True)]
        return blobs

    def _sweep(self) -> None:
        self._is_swept = True
        shards = (
            {str(Shard(number, self._shard.count)) for number in range(self._shard.count)} if self._shard else {"None"}
        )
        live_keys = recent_generations(self._views, MAX_SWEPT_STORES)
        self._snapshots.sweep(lambda name: name[1:4] in live_keys and name[4] in shards)

    def _source(self, key: DenseKey) -> Source[TokenChanges, TokenIndex]:
        tenant, vector_store_id, generation = key
        return Source(
            name=("tokens", *key, str(self._shard)),
            read=lambda seq, started_seq: self._views.token_changes(
                tenant, vector_store_id, seq, generation, shard=self._shard, started_seq=started_seq
            ),
            make=lambda _: TokenIndex(self._folder),
            dim=lambda _: 0,
            add=_add_codes,
        )


def _views_of(request: TokenScoreRequest) -> list[DenseKey]:
    return [(request.scope.tenant, name, request.generation) for name in request.scope.vector_store_ids]


def _score(request: TokenScoreRequest, blobs: Blobs) -> FloatArray:
    scores = np.full(len(blobs), np.nan, np.float32)
    stored = {position: blob for position, blob in enumerate(blobs) if blob is not None}
    if stored:
        try:
            scores[list(stored)] = max_sim_scores(request.query, request.weights, list(stored.values()))
        except ValueError as error:
            raise InvalidRequestError(str(error), "query") from error
    return scores


def _score_sentences(request: SentenceScoreRequest, blobs: Blobs) -> tuple[FloatArray, ...]:
    stored = [b"" if blob is None else blob for blob in blobs]
    try:
        return sentence_scores(request.chunks.query, request.chunks.weights, stored, request.spans)
    except ValueError as error:
        raise InvalidRequestError(str(error), "query") from error


def _add_codes(index: TokenIndex, changes: TokenChanges) -> None:
    # If a generation is retired and built again, its keys come again, and the index may still have them.
    index.remove(changes.added_keys)
    index.add(changes.added_keys, changes.codes)
