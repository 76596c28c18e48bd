"""Cuts a document into chunks of the same number of tokens, wherever its sections and sentences end."""

from bisect import bisect_right
from collections.abc import Iterator

from models.documents.base import Document
from models.documents.chunkers.atoms import strip
from models.documents.chunkers.base import ChunkingOptions
from models.documents.chunkers.layout import Layout, Piece
from models.documents.options import NoOptions
from models.tokens.text_tokenizer import Tokenizer
from models.types.chunks import Chunk


class FixedTokensChunker:
    """A Chunker of kind `fixed_tokens`: OpenAI's `static` chunking."""

    config_class = NoOptions

    def __init__(self, name: str, config: NoOptions) -> None:
        """Nothing to load."""

    def chunk(self, document: Document, tokenizer: Tokenizer, options: ChunkingOptions) -> list[Chunk]:
        """Chunks of `max_tokens` tokens, or fewer where the last word would be cut; each repeats `overlap_tokens`.

        The headings are part of the text. Those above a chunk's beginning are its context.
        """
        layout = Layout(document, tokenizer, options)
        return layout.chunks(_pieces(layout, options))


def _pieces(layout: Layout, options: ChunkingOptions) -> Iterator[Piece]:
    sections = layout.sections()
    section_starts = [section.sections[0].start for section in sections]
    words = _Words(layout)
    first, num_tokens = 0, len(layout.token_starts)
    while first < num_tokens:
        section = sections[max(0, bisect_right(section_starts, words.character(first)) - 1)]
        path = section.sections[0].path
        size = layout.fitting_tokens(path, words.character(first))
        end = words.border(first + max(1, size // 2), first + size)
        if span := strip(layout.document.text, words.character(first), words.character(end)):
            yield Piece(*span, path)
        if end >= num_tokens:
            return
        overlap = min(options.overlap_tokens, size // 2)
        first = words.border_from(max(end - overlap, first + 1), end)


class _Words:
    """The tokens of a text, and which of them begin a word."""

    def __init__(self, layout: Layout) -> None:
        self._text, self._starts = layout.document.text, layout.token_starts

    def character(self, token: int) -> int:
        return self._starts[token] if token < len(self._starts) else len(self._text)

    def border(self, lowest: int, highest: int) -> int:
        """The last token that begins a word, from `lowest` to `highest`; `highest` if none does."""
        if highest >= len(self._starts):
            return len(self._starts)
        return next((token for token in range(highest, lowest - 1, -1) if self._begins_word(token)), highest)

    def border_from(self, lowest: int, highest: int) -> int:
        """The first token that begins a word, from `lowest` to `highest`; `highest` if none does."""
        return next((token for token in range(lowest, highest) if self._begins_word(token)), highest)

    def _begins_word(self, token: int) -> bool:
        start = self.character(token)
        return start == 0 or self._text[start - 1].isspace()
