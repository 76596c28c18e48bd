"""The seam of chunking: a document in, its chunks out."""

from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.documents.base import Document
from models.tokens.text_tokenizer import Tokenizer
from models.types.chunks import Chunk

MIN_CHUNK_TOKENS = 32


class ChunkingOptions(BaseModel):
    """How large chunks are, and by which strategy. Tokens are the embedding model's, without special tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    max_tokens: int = Field(
        default=220,
        ge=MIN_CHUNK_TOKENS,
        le=4096,
        description="Most tokens of a chunk's text. Its context adds up to 32: 220 suits a model that reads 256.",
    )
    overlap_tokens: int = Field(
        default=32,
        ge=0,
        description="Most tokens that a chunk repeats of the previous one, in whole sentences; at most half of "
        "max_tokens.",
    )
    strategy: str = Field(default="", description="Catalog alias of the chunker; empty is the configured one.")
    parameters: dict[str, int] = Field(default_factory=dict, description="Options of that chunker.")

    @model_validator(mode="after")
    def _overlap_is_at_most_half(self) -> "ChunkingOptions":
        if self.overlap_tokens > self.max_tokens // 2:
            raise ValueError(
                f"overlap_tokens is {self.overlap_tokens}; at most half of max_tokens, {self.max_tokens // 2}"
            )
        return self


class Chunker(Protocol):
    """Cuts documents into chunks. Safe to call from several threads; equal arguments give equal chunks."""

    def chunk(self, document: Document, tokenizer: Tokenizer, options: ChunkingOptions) -> list[Chunk]:
        """The chunks in order. Each is a part of `document.text` of at most `options.max_tokens` tokens."""
