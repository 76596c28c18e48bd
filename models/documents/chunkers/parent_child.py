"""Makes small chunks that are found, and shows the larger part of the section that each belongs to."""

from bisect import bisect_right
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import Document
from models.documents.chunkers.base import ChunkingOptions
from models.documents.chunkers.layout import Layout, Piece
from models.documents.chunkers.packing import cut_along_structure
from models.tokens.text_tokenizer import Tokenizer
from models.types.chunks import Chunk


class ParentChildConfig(BaseModel):
    """Options of the kind `parent_child`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    child_tokens: int = Field(default=64, ge=32, le=1024, description="Most tokens of a piece that is found.")


class ParentChildChunker:
    """A Chunker of kind `parent_child`."""

    config_class = ParentChildConfig

    def __init__(self, name: str, config: ParentChildConfig) -> None:
        self._child_tokens = config.child_tokens

    def chunk(self, document: Document, tokenizer: Tokenizer, options: ChunkingOptions) -> list[Chunk]:
        """Chunks of at most `child_tokens`, cut along the structure.

        Each shows its parent: the chunk of at most `max_tokens` that the structure alone would give.
        """
        parents = cut_along_structure(
            Layout(document, tokenizer, _sized(options.max_tokens)), _sized(options.max_tokens)
        )
        children = _sized(min(self._child_tokens, options.max_tokens))
        layout = Layout(document, tokenizer, children)
        return layout.chunks(_with_parents(cut_along_structure(layout, children), parents))


def _sized(max_tokens: int) -> ChunkingOptions:
    return ChunkingOptions(max_tokens=max_tokens, overlap_tokens=0)


def _with_parents(children: list[Piece], parents: list[Piece]) -> Iterator[Piece]:
    """The children, each with the parent that it begins in."""
    starts = [parent.start for parent in parents]
    for child in children:
        parent = parents[max(0, bisect_right(starts, child.start) - 1)]
        shown = min(parent.start, child.start), max(parent.end, child.end)
        yield Piece(child.start, child.end, child.path, shown)
