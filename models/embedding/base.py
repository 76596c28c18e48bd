"""The seam of embedding: texts in, unit vectors out."""

from typing import Protocol

from models.types import FloatArray


class EmbeddingModel(Protocol):
    """Maps texts to vectors whose dot product is their similarity.

    `generation` names the vector space, as "alias@revision": vectors of two generations never mix.
    """

    name: str
    generation: str
    dim: int
    max_tokens: int

    def embed_queries(self, texts: list[str]) -> FloatArray:
        """Unit vectors (len(texts), dim), float32, with the model's query prefix applied."""

    def embed_documents(self, texts: list[str]) -> FloatArray:
        """Unit vectors (len(texts), dim), float32. Text past `max_tokens` is cut."""
