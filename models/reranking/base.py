"""The protocol of reranking: a query and its candidates in, one score per candidate out.

These are three steps, so that a replica can tokenise the next request during a forward pass and batch by tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from models.tokens.encoding import Encoding
from models.types.arrays import FloatArray


@dataclass(frozen=True)
class RerankRequest:
    """`texts` are in retrieval's order, best first. `term_weights`: see LexicalRanking; empty means equal weights.

    `as_stored`, for late interaction: scores by vectors of as few bits as stored ones have, comparable with theirs.
    """

    query: str
    texts: tuple[str, ...]
    term_weights: dict[str, float] = field(default_factory=dict)
    as_stored: bool = False


@dataclass(frozen=True)
class RerankWork:
    """A request and the encodings that the model must process; the first ones matter most.

    `state` is private to the model, for `keep` and `finish`.
    """

    request: RerankRequest
    encodings: tuple[Encoding, ...]
    state: Any = None


class RerankingModel(Protocol):
    """Scores candidates for a query. Higher is better; scores are comparable within one request only.

    `retrieval_weight` is the weight of retrieval's rank that measured best for the kind; see blend.
    One thread tokenises and finishes while another runs the forward pass.
    """

    name: str
    retrieval_weight: float

    def tokenize(self, request: RerankRequest) -> RerankWork:
        """The request's work: no encodings if a cache has every result."""

    def forward(self, batch: Sequence[Encoding]) -> Sequence[Any]:
        """One output per encoding, in one forward pass: the caller sorts by length and bounds the batch."""

    def keep(self, work: RerankWork, place: int, output: Any) -> None:
        """Keep the output of the encoding at `place` for later requests. This one may be late or cancelled.

        Called for each output as soon as it is computed, by the thread of the event loop: it must be quick.
        """

    def finish(self, work: RerankWork, outputs: Sequence[Any | None]) -> FloatArray:
        """Float32 scores (len(request.texts),), one per candidate, from the outputs of the encodings in order.

        An output is None if the time was over before it was computed. NaN is the score of a candidate that needs it.
        """

    def to_relevance(self, scores: FloatArray) -> FloatArray:
        """The scores as relevance from 0 to 1. Between requests they are as comparable as the model's scores."""
