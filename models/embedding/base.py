"""The protocol of embedding: texts into token ids, token ids into unit vectors.

These are two steps, so that a replica can tokenise the next texts during a forward pass and batch by tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from models.tokens.encoding import Encoding, TextInput
from models.types.arrays import FloatArray, HalfArray


@dataclass(frozen=True)
class TokenEmbedding:
    """A text's unit `vector` (dim,) and the unit vectors of its tokens (n, token dim), in the order of the text.

    `tokens` has neither special tokens nor those of the model's prefix. n is 0 for an empty text. `starts` (n,) are the
    tokens' first characters in a document; None for a query, for token ids, or if the model cannot tell.
    """

    vector: FloatArray
    tokens: HalfArray
    starts: NDArray[np.int64] | None = None


class EmbeddingModel(Protocol):
    """Maps texts to vectors whose dot product is their similarity.

    `generation` names the vector space, as "alias@revision": vectors of two generations never mix. `dims` are the
    lengths that vectors may be truncated to, in rising order. The last is `dim`; only Matryoshka models have more.
    One thread tokenises while another runs the forward pass.
    """

    name: str
    generation: str
    dim: int
    dims: tuple[int, ...]
    max_tokens: int

    def tokenize_queries(self, texts: Sequence[TextInput]) -> list[Encoding]:
        """One encoding per query, with the model's query prefix. Raises InvalidRequestError for unknown token ids."""

    def tokenize_documents(self, texts: Sequence[TextInput]) -> list[Encoding]:
        """One encoding per document, with the document prefix, truncated at `max_tokens`. Raises as for queries."""

    def forward(self, batch: Sequence[Encoding]) -> FloatArray:
        """Unit vectors (len(batch), dim) float32, in one forward pass: the caller sorts and bounds the batch."""


class TokenEmbeddingModel(EmbeddingModel, Protocol):
    """An EmbeddingModel that also gives the vectors of tokens, from the same forward pass.

    Any other model says `has_token_vectors = False`, or has no such attribute: see has_token_vectors.
    """

    has_token_vectors: bool

    def forward_tokens(self, batch: Sequence[Encoding]) -> list[TokenEmbedding]:
        """One result per encoding, in one forward pass. The vectors equal those of `forward`."""

    def query_token_spans(self, text: str) -> NDArray[np.int64]:
        """The characters of a query (n, 2), start and end, that each row of its `tokens` comes from."""

    def document_token_spans(self, text: str) -> NDArray[np.int64]:
        """As query_token_spans, for a document."""


def has_token_vectors(model: EmbeddingModel) -> TypeGuard[TokenEmbeddingModel]:
    """Whether `model` is a TokenEmbeddingModel."""
    return bool(getattr(model, "has_token_vectors", False))
