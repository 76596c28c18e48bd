"""The seam of embedding: texts into token ids, token ids into unit vectors.

The two are apart so that a replica tokenises the next texts while a forward pass runs, and batches by tokens.
"""

from collections.abc import Sequence
from typing import Protocol

from models.encoding import Encoding, TextInput
from models.types import FloatArray


class EmbeddingModel(Protocol):
    """Maps texts to vectors whose dot product is their similarity.

    `generation` names the vector space, as "alias@revision": vectors of two generations never mix. `dims` are the
    lengths that a vector may be cut to, in rising order, the last being its own: more than one for Matryoshka models.
    Tokenising is called from one thread and the forward pass from another, at the same time.
    """

    name: str
    generation: str
    dim: int
    dims: tuple[int, ...]
    max_tokens: int

    def tokenize_queries(self, texts: Sequence[TextInput]) -> list[Encoding]:
        """An encoding a query, with the model's query prefix. Raises InvalidRequestError for unknown token ids."""

    def tokenize_documents(self, texts: Sequence[TextInput]) -> list[Encoding]:
        """An encoding a document, with the model's document prefix, cut at `max_tokens`. Raises as for queries."""

    def forward(self, batch: Sequence[Encoding]) -> FloatArray:
        """Unit vectors (len(batch), dim) float32, in one forward pass: the caller sorts by length and bounds it."""
