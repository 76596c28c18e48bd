"""The seam of reranking: a query and its candidates in, one score a candidate out."""

from dataclasses import dataclass, field
from typing import Protocol

from models.types import FloatArray


@dataclass(frozen=True)
class RerankRequest:
    """`texts` stand in retrieval's order, best first. `term_weights`: see LexicalRanking; empty means all alike."""

    query: str
    texts: tuple[str, ...]
    term_weights: dict[str, float] = field(default_factory=dict)


class RerankingModel(Protocol):
    """Scores candidates against their query; higher is better, and only comparable within one request.

    `retrieval_weight` is the share of retrieval's rank that was measured to be best for the kind; see blend.
    """

    name: str
    retrieval_weight: float

    def score(self, requests: list[RerankRequest]) -> list[FloatArray]:
        """One float32 array (len(request.texts),) a request, in the order of its texts."""
