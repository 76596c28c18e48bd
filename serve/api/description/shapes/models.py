"""Models, embeddings and reranked texts."""

from typing import Any, Literal

from pydantic import Field

from serve.api.description.shapes.base import Shape


class ModelObject(Shape):
    """A name that requests may give as `model`."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    stage: str
    parent: str | None = Field(default=None, description="Of an adapter: the model that it adapts.")


class ModelList(Shape):
    object: Literal["list"]
    data: list[ModelObject]


class EmbeddingObject(Shape):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str = Field(description="Numbers, or with `base64` their little-endian float32.")


class EmbeddingUsage(Shape):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Shape):
    """A unit vector for each input, in order."""

    object: Literal["list"]
    data: list[EmbeddingObject]
    model: str
    usage: EmbeddingUsage


class RankedDocument(Shape):
    index: int
    relevance_score: float
    document: dict[str, str] | None = None


class RankedDocuments(Shape):
    """Cohere's response; except on /v2/rerank with Jina's `model` and `usage`."""

    id: str
    results: list[RankedDocument]
    meta: dict[str, Any]
    model: str | None = None
    usage: dict[str, int] | None = None


class RankedText(Shape):
    """An item of TEI's response."""

    index: int
    score: float
    text: str | None = None
