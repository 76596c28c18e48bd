"""OpenAI's `chunking_strategy`, in requests and in responses."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.corpus.records import Chunking
from models.errors import InvalidRequestError

AUTO_CHUNKING = {"type": "auto"}


class StaticChunking(BaseModel):
    """Chunks of at most this size; each repeats the end of the chunk before it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_chunk_size_tokens: int = Field(ge=100, le=4096)
    chunk_overlap_tokens: int = Field(ge=0, le=2048, description="At most half of max_chunk_size_tokens.")


class ChunkingStrategy(BaseModel):
    """How files are cut into chunks. `auto`: the configured size; `static`: the size in the field `static`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["auto", "static"]
    static: StaticChunking | None = None


def to_chunking(strategy: ChunkingStrategy | None) -> Chunking | None:
    """None for auto. Raises InvalidRequestError for a missing size and for too much overlap."""
    if strategy is None or strategy.type == "auto":
        return None
    if strategy.static is None:
        raise InvalidRequestError(
            "chunking_strategy of type static needs the field `static`", "chunking_strategy.static"
        )
    size, overlap = strategy.static.max_chunk_size_tokens, strategy.static.chunk_overlap_tokens
    if overlap > size // 2:
        raise InvalidRequestError(
            f"chunk_overlap_tokens is {overlap}; at most half of max_chunk_size_tokens ({size // 2}) is allowed",
            "chunking_strategy.static.chunk_overlap_tokens",
        )
    return Chunking(size, overlap)


def to_strategy_body(chunking: Chunking | None) -> dict[str, Any]:
    if chunking is None:
        return AUTO_CHUNKING
    static = {"max_chunk_size_tokens": chunking.max_tokens, "chunk_overlap_tokens": chunking.overlap_tokens}
    return {"type": "static", "static": static}
