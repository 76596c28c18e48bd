"""Breaks a document where adjacent sentences differ most in meaning, by their vectors.

It takes two steps, as a parser's process has no embedding model. The chunker cuts sections into units. Once the units
have vectors, `join_units` makes the chunks. The ingest path does this between parsing and embedding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import Document
from models.documents.chunkers.base import ChunkingOptions
from models.documents.chunkers.contexts import MAX_CONTEXT_TOKENS
from models.documents.chunkers.layout import Layout, Piece
from models.documents.chunkers.units import MIN_UNIT_TOKENS, Unit, units_of
from models.documents.sections import Group
from models.tokens.text_tokenizer import Tokenizer
from models.types.arrays import FloatArray, KeyArray
from models.types.chunks import Chunk

STRATEGY = "semantic"
# The budget of one file: about a minute of minilm on one core. Units of a longer file have more sentences each.
MAX_UNITS = 4096
MIN_FRACTION = 0.25  # of max_tokens: a chunk with fewer tokens ends only where its section ends
CHARS_PER_TOKEN = 4


class SemanticConfig(BaseModel):
    """Options of the kind `semantic`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    breakpoint_percentile: int = Field(
        default=90,
        ge=50,
        le=99,
        description="A chunk may end where the distance of adjacent sentences is above this percentile of the file's.",
    )


class SemanticChunker:
    """A Chunker of kind `semantic`: its chunks are the units, to be embedded and joined."""

    config_class = SemanticConfig

    def __init__(self, name: str, config: SemanticConfig) -> None:
        """Nothing to load."""

    def chunk(self, document: Document, tokenizer: Tokenizer, options: ChunkingOptions) -> list[Chunk]:
        """The units in order, at most about MAX_UNITS. `shown` has the place of the sections that a unit belongs to."""
        layout = Layout(document, tokenizer, options)
        min_tokens = max(MIN_UNIT_TOKENS, len(layout.token_starts) // MAX_UNITS)
        return layout.chunks(
            Piece(unit.start, unit.end, section.path, (section.start, section.end))
            for section in layout.groups()
            for unit in _units(layout, section, min_tokens)
        )


def _units(layout: Layout, group: Group, min_tokens: int) -> list[Unit]:
    """The units of a section. Tiny sections that fit into one chunk are one unit, with the headings between them."""
    if len(group.sections) == 1:
        return units_of(layout, group, min_tokens)
    return [Unit(group.start, group.end, layout.count(group.start, group.end))]


def join_units(
    text: str, units: Sequence[Chunk], vectors: FloatArray, options: ChunkingOptions, config: SemanticConfig
) -> list[Chunk]:
    """The chunks of a document's `text`. `vectors` (n, dim) has a unit row for each unit."""
    distances = 1 - (vectors[:-1] * vectors[1:]).sum(axis=1)
    threshold = float(np.percentile(distances, config.breakpoint_percentile)) if len(distances) else 0.0
    chunks: list[Chunk] = []
    for _, numbers in groupby(range(len(units)), key=lambda number: units[number].shown):
        section = list(numbers)
        for first, end in _spans(units, distances, section, options.max_tokens, threshold):
            chunks.append(_joined(text, units[first:end]))
    return chunks


def _spans(
    units: Sequence[Chunk], distances: FloatArray, section: list[int], max_tokens: int, threshold: float
) -> Iterator[tuple[int, int]]:
    """First and end of each chunk's units. Split at the largest distance, as long as one is due."""
    sizes = np.cumsum([0, *(units[number].num_tokens for number in section)], dtype=np.int64)
    offset, waiting = section[0], [(0, len(section))]
    while waiting:
        first, end = waiting.pop()
        limit = max_tokens - _excess(units[offset + first].context)
        cut = _cut(sizes[first : end + 1], distances[offset + first : offset + end - 1], limit, threshold)
        if cut:
            waiting += [(first + cut, end), (first, first + cut)]
        else:
            yield offset + first, offset + end


def _cut(sizes: KeyArray, distances: FloatArray, max_tokens: int, threshold: float) -> int:
    """The number of units before the best break; 0 if none is due. `sizes` are cumulative tokens."""
    if not len(distances):
        return 0
    before, after = sizes[1:-1] - sizes[0], sizes[-1] - sizes[1:-1]
    is_balanced = np.minimum(before, after) >= MIN_FRACTION * max_tokens
    is_oversize = sizes[-1] - sizes[0] > max_tokens
    if not is_balanced.any():
        return int(np.argmax(np.minimum(before, after))) + 1 if is_oversize else 0
    best = int(np.argmax(np.where(is_balanced, distances, -np.inf)))
    return best + 1 if is_oversize or distances[best] > threshold else 0


def _excess(context: str) -> int:
    """Tokens that the names of columns take from the text, by their characters."""
    return max(0, len(context) // CHARS_PER_TOKEN - MAX_CONTEXT_TOKENS)


def _joined(text: str, units: Sequence[Chunk]) -> Chunk:
    first, last = units[0], units[-1]
    num_tokens = sum(unit.num_tokens for unit in units)
    return replace(first, text=text[first.start : last.end], end=last.end, num_tokens=num_tokens, shown=None)
