"""`chunking_strategy`, in requests and in responses: OpenAI's `auto` and `static`, and strategies of our own.

Each strategy's parameters stand in a field of its name: `{"type": "semantic", "semantic": {...}}`.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.corpus.chunking import INHERITED, ChosenChunking, Chunking
from models.documents.chunkers.contextual_headers import ContextualHeadersConfig
from models.documents.chunkers.parent_child import ParentChildConfig
from models.documents.chunkers.semantic import SemanticConfig
from models.documents.chunkers.sentence_window import SentenceWindowConfig
from models.errors.requests import InvalidRequestError

AUTO_CHUNKING = {"type": "auto"}


class StaticChunking(BaseModel):
    """Chunks of this size; each repeats the end of the chunk before it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_chunk_size_tokens: int = Field(ge=100, le=4096)
    chunk_overlap_tokens: int = Field(ge=0, le=2048, description="At most half of max_chunk_size_tokens.")


class StructureChunking(BaseModel):
    """Chunks along headings, paragraphs and sentences, of at most this size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_chunk_size_tokens: int = Field(default=220, ge=32, le=4096)
    chunk_overlap_tokens: int = Field(default=32, ge=0, le=2048, description="At most half of max_chunk_size_tokens.")


class SentenceWindowChunking(SentenceWindowConfig):
    """A sentence is found, and its neighbours are shown."""

    max_chunk_size_tokens: int = Field(default=400, ge=32, le=4096, description="Most tokens that are shown.")


class SemanticChunking(SemanticConfig):
    """Chunks end where adjacent sentences differ most in meaning. Every sentence is embedded for that."""

    max_chunk_size_tokens: int = Field(default=220, ge=32, le=4096)


class ParentChildChunking(ParentChildConfig):
    """A small piece is found, and the part of the section around it is shown."""

    max_chunk_size_tokens: int = Field(default=600, ge=32, le=4096, description="Most tokens that are shown.")


class ContextualHeadersChunking(ContextualHeadersConfig):
    """Structure, with the file's title and all headings above each chunk."""

    max_chunk_size_tokens: int = Field(default=220, ge=32, le=4096)
    chunk_overlap_tokens: int = Field(default=32, ge=0, le=2048, description="At most half of max_chunk_size_tokens.")


class ChunkingStrategy(BaseModel):
    """How files are cut into chunks. `auto`: the service's own way; else the strategy that `type` names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["auto", "static", "structure", "sentence_window", "semantic", "parent_child", "contextual_headers"]
    static: StaticChunking | None = None
    structure: StructureChunking | None = None
    sentence_window: SentenceWindowChunking | None = None
    semantic: SemanticChunking | None = None
    parent_child: ParentChildChunking | None = None
    contextual_headers: ContextualHeadersChunking | None = None


# The strategies that have a default for every parameter.
DEFAULTS: dict[str, BaseModel] = {
    "structure": StructureChunking(),
    "sentence_window": SentenceWindowChunking(),
    "semantic": SemanticChunking(),
    "parent_child": ParentChildChunking(),
    "contextual_headers": ContextualHeadersChunking(),
}


def to_chosen(strategy: ChunkingStrategy | None) -> ChosenChunking:
    """The chunking of a file to attach: without a strategy it keeps its own, or gets the store's. See `to_chunking`."""
    return INHERITED if strategy is None else to_chunking(strategy)


def to_chunking(strategy: ChunkingStrategy | None) -> Chunking | None:
    """None for auto. Raises InvalidRequestError for a missing size, sizes that do not fit, and another type's field."""
    if strategy is None:
        return None
    strangers = [name for name in strategy.model_fields_set - {"type", strategy.type} if getattr(strategy, name)]
    if strangers:
        problem = f"the field `{strangers[0]}` does not belong to type {strategy.type}"
        raise InvalidRequestError(problem, f"chunking_strategy.{strangers[0]}")
    if strategy.type == "auto":
        return None
    body: BaseModel | None = getattr(strategy, strategy.type) or DEFAULTS.get(strategy.type)
    if body is None:
        raise InvalidRequestError(
            f"chunking_strategy of type {strategy.type} needs the field `{strategy.type}`",
            f"chunking_strategy.{strategy.type}",
        )
    parameters: dict[str, int] = body.model_dump()
    size, overlap = parameters.pop("max_chunk_size_tokens"), parameters.pop("chunk_overlap_tokens", 0)
    _check_at_most(overlap, size // 2, strategy.type, "chunk_overlap_tokens", "half of max_chunk_size_tokens")
    _check_at_most(parameters.get("child_tokens", 0), size, strategy.type, "child_tokens", "max_chunk_size_tokens")
    return Chunking(size, overlap, strategy.type, tuple(sorted(parameters.items())))


def _check_at_most(value: int, limit: int, strategy: str, name: str, limit_name: str) -> None:
    if value > limit:
        problem = f"{name} is {value}; at most {limit_name} ({limit}) is allowed"
        raise InvalidRequestError(problem, f"chunking_strategy.{strategy}.{name}")


def to_strategy_body(chunking: Chunking | None) -> dict[str, Any]:
    if chunking is None:
        return AUTO_CHUNKING
    body = {"max_chunk_size_tokens": chunking.max_tokens} | dict(chunking.parameters)
    if chunking.strategy in ("static", "structure", "contextual_headers"):
        body["chunk_overlap_tokens"] = chunking.overlap_tokens
    return {"type": chunking.strategy, chunking.strategy: body}
