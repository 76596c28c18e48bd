"""What the embedder and the reranker answer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.types.arrays import FloatArray, HalfArray

FellBack = tuple[tuple[str, str], ...]  # models of a stage's list that did not answer: the alias, and why


@dataclass(frozen=True)
class Embeddings:
    """Unit vectors (n, dim) float32, the generation (vector space) they belong to, and the alias of their model.

    `num_tokens` counts the input tokens, special tokens included. On request, and if the model has token vectors:
    `token_codes` are those of each document, encoded for storage; `query_tokens` (t, dim) unit rows are those of a
    single query, and `query_spans` (t, 2) the characters of each in the query, start and end. `fell_back`: the models
    before the one that embedded a query, and why they did not.
    """

    vectors: FloatArray
    generation: str
    model: str
    num_tokens: int = 0
    token_codes: tuple[bytes, ...] = ()
    query_tokens: HalfArray | None = None
    query_spans: NDArray[np.int64] | None = None
    fell_back: FellBack = ()


@dataclass(frozen=True)
class Reranking:
    """One float32 score per candidate (n,), in the candidates' order, and the alias of the model that scored them.

    NaN is the score of a candidate that the model had no time to read. At least one was read.
    `failed_canary` is the alias of a canary that failed, so that `model` scored the candidates instead. `relevance` is
    the highest relevance of a candidate by the model alone, 0 to 1; None if it is unknown. `num_tokens`: those that
    the model read for these scores, special tokens included; 0 where it read none, as with stored token vectors.
    """

    scores: FloatArray
    model: str
    failed_canary: str = ""
    relevance: float | None = None
    fell_back: FellBack = ()
    num_tokens: int = 0

    @property
    def is_partial(self) -> bool:
        """Whether the model had no time to read some candidates."""
        return bool(np.isnan(self.scores).any())


@dataclass(frozen=True)
class Relevance:
    """Relevance (n,), 0 to 1, and raw model scores (n,), in the order of the candidates.

    `failed_canary` is as in Reranking.
    """

    relevance: FloatArray
    scores: FloatArray
    model: str
    num_tokens: int = 0
    failed_canary: str = ""
    fell_back: FellBack = ()
