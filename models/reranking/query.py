"""A query as retrieval hands it to the reranker: its text, and what the searches learned about it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.types.arrays import HalfArray
from models.types.scope import Scope


@dataclass(frozen=True)
class QueryTokens:
    """The query's token vectors in one generation, and the vector stores that are searched in it.

    `vectors` (n, dim) float16 unit rows, without special tokens; `spans` (n, 2): start and end of each token's
    characters in the query.
    """

    generation: str
    scope: Scope
    vectors: HalfArray
    spans: NDArray[np.int64]


@dataclass(frozen=True)
class SearchedQuery:
    """`term_weights`: see LexicalRanking. `tokens`: for each generation searched, if the reranker reads them."""

    text: str
    term_weights: dict[str, float] = field(default_factory=dict)
    tokens: tuple[QueryTokens, ...] = ()
