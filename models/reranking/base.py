"""The seam of reranking: a query and its candidates in, one score a candidate out.

Three steps, so that a replica tokenises the next request while a forward pass runs, and batches by tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from models.encoding import Encoding
from models.types import FloatArray


@dataclass(frozen=True)
class RerankRequest:
    """`texts` stand in retrieval's order, best first. `term_weights`: see LexicalRanking; empty means all alike."""

    query: str
    texts: tuple[str, ...]
    term_weights: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RerankWork:
    """A request and what of it has to go through the model; `kept` is the model's own, for `finish`."""

    request: RerankRequest
    encodings: tuple[Encoding, ...]
    kept: Any = None


class RerankingModel(Protocol):
    """Scores candidates against their query; higher is better, and only comparable within one request.

    `retrieval_weight` is the share of retrieval's rank that was measured to be best for the kind; see blend.
    Tokenising and finishing are called from one thread and the forward pass from another, at the same time.
    """

    name: str
    retrieval_weight: float

    def tokenize(self, request: RerankRequest) -> RerankWork:
        """What has to be computed for the request: nothing, where everything is in a cache."""

    def forward(self, batch: Sequence[Encoding]) -> Sequence[Any]:
        """One output an encoding, in one forward pass: the caller sorts by length and bounds the batch."""

    def finish(self, work: RerankWork, outputs: Sequence[Any]) -> FloatArray:
        """A float32 score a candidate (len(request.texts),), from the outputs of the work's encodings, in order."""

    def to_relevance(self, scores: FloatArray) -> FloatArray:
        """The scores as relevance from 0 to 1, comparable between requests as far as the model's scores are."""
