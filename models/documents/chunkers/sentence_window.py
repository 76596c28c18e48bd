"""Makes a chunk of each sentence: the sentence is found, and a search shows its neighbours, too."""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import Document
from models.documents.chunkers.base import ChunkingOptions
from models.documents.chunkers.layout import Layout, Piece
from models.documents.chunkers.units import Unit, units_of
from models.documents.sections import Group
from models.tokens.text_tokenizer import Tokenizer
from models.types.chunks import Chunk


class SentenceWindowConfig(BaseModel):
    """Options of the kind `sentence_window`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_sentences: int = Field(
        default=2, ge=1, le=10, description="Sentences shown before the one that is found, and after it."
    )


class SentenceWindowChunker:
    """A Chunker of kind `sentence_window`."""

    config_class = SentenceWindowConfig

    def __init__(self, name: str, config: SentenceWindowConfig) -> None:
        self._window = config.window_sentences

    def chunk(self, document: Document, tokenizer: Tokenizer, options: ChunkingOptions) -> list[Chunk]:
        """A chunk a sentence or line; very short ones are joined. A window stays inside a section, and has at most
        `max_tokens` tokens.
        """
        layout = Layout(document, tokenizer, options)
        return layout.chunks(piece for section in layout.sections() for piece in self._pieces(layout, section))

    def _pieces(self, layout: Layout, section: Group) -> Iterator[Piece]:
        units = units_of(layout, section)
        for number, unit in enumerate(units):
            yield Piece(unit.start, unit.end, section.path, self._shown(units, number, layout.max_tokens))

    def _shown(self, units: list[Unit], number: int, max_tokens: int) -> tuple[int, int]:
        """The window around a unit, grown by one unit on each side in turn as long as it fits."""
        first = last = number
        num_tokens = units[number].num_tokens
        for distance in range(1, self._window + 1):
            for neighbour in (number - distance, number + distance):
                is_next = neighbour in (first - 1, last + 1) and 0 <= neighbour < len(units)
                if is_next and num_tokens + units[neighbour].num_tokens <= max_tokens:
                    num_tokens += units[neighbour].num_tokens
                    first, last = min(first, neighbour), max(last, neighbour)
        return units[first].start, units[last].end
