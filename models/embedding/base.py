"""The protocol of embedding: texts into token ids, token ids into unit vectors.

These are two steps, so that a replica can tokenise the next texts during a forward pass and batch by tokens.
"""

from collections.abc import Sequence
from typing import Protocol

from models.tokens.encoding import Encoding, TextInput
from models.types import FloatArray


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
