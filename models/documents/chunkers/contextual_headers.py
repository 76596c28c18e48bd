"""Cuts along the structure, and says above each chunk which file it is from and which headings it is under."""

import re
from dataclasses import replace
from pathlib import PurePath

from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import Document
from models.documents.chunkers.base import MIN_CHUNK_TOKENS, ChunkingOptions
from models.documents.chunkers.contexts import MAX_CONTEXT_TOKENS
from models.documents.chunkers.layout import Layout
from models.documents.chunkers.packing import cut_along_structure
from models.documents.text import one_line
from models.tokens.text_tokenizer import Tokenizer
from models.types.chunks import Chunk

MAX_TITLE_CHARS = 120
WORD = re.compile(r"[^\W\d_]{3,}")
SEPARATORS = re.compile(r"[_\-+.\s]+")


class ContextualHeadersConfig(BaseModel):
    """Options of the kind `contextual_headers`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    header_tokens: int = Field(
        default=64, ge=16, le=256, description="Most tokens of the file's title and the headings above a chunk."
    )


class ContextualHeadersChunker:
    """A Chunker of kind `contextual_headers`."""

    config_class = ContextualHeadersConfig

    def __init__(self, name: str, config: ContextualHeadersConfig) -> None:
        self._header_tokens = config.header_tokens

    def chunk(self, document: Document, tokenizer: Tokenizer, options: ChunkingOptions) -> list[Chunk]:
        """The chunks of the structure. Every one has the title of its file and the whole path of its headings above it.

        A file without a title is named by its first line, else by its file name. A longer header makes the text
        shorter, so that both fit into the model.
        """
        options = _shortened(options, self._header_tokens - MAX_CONTEXT_TOKENS)
        layout = Layout(replace(document, title=title_of(document)), tokenizer, options, self._header_tokens)
        return layout.chunks(cut_along_structure(layout, options))


def _shortened(options: ChunkingOptions, num_tokens: int) -> ChunkingOptions:
    max_tokens = max(MIN_CHUNK_TOKENS, options.max_tokens - max(0, num_tokens))
    return ChunkingOptions(max_tokens=max_tokens, overlap_tokens=min(options.overlap_tokens, max_tokens // 2))


def title_of(document: Document) -> str:
    """The title, else the first line if it reads like one, else the name of the file if it has a word."""
    if document.title or not document.blocks:
        return document.title
    first = document.blocks[0]
    line = document.text[first.start : first.end].split("\n", 1)[0].strip()
    is_title = first.kind in ("heading", "paragraph") and len(line) <= MAX_TITLE_CHARS and line[-1:].isalnum()
    if is_title and (first.kind == "heading" or len(line) < first.end - first.start):
        return one_line(line)
    stem = PurePath(document.filename).stem
    return SEPARATORS.sub(" ", stem).strip() if WORD.search(stem) else ""
