"""A document as chunkers see it: its tokens, its sections, their atoms, and the chunks of pieces of it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

from models.documents.base import Block, Document
from models.documents.chunkers.atoms import Atom, Atoms, strip
from models.documents.chunkers.base import ChunkingOptions
from models.documents.chunkers.contexts import MAX_CONTEXT_TOKENS, Contexts
from models.documents.sections import Group, merge_tiny, split_sections
from models.documents.text import is_visible
from models.tokens.text_tokenizer import Tokenizer
from models.types.chunks import Chunk


@dataclass(frozen=True)
class Piece:
    """Characters `start` to `end` of a document, which become a chunk, and the headings above them.

    `shown`: the characters that a search shows instead, None for the piece itself.
    """

    start: int
    end: int
    path: tuple[Block, ...]
    shown: tuple[int, int] | None = None


class Layout:
    """Of one document, for chunks of at most `options.max_tokens` tokens."""

    def __init__(
        self,
        document: Document,
        tokenizer: Tokenizer,
        options: ChunkingOptions,
        max_heading_tokens: int = MAX_CONTEXT_TOKENS,
    ) -> None:
        self.document, self.max_tokens = document, options.max_tokens
        self.token_starts = _token_starts(document, tokenizer)
        self._tokenizer = tokenizer
        self._contexts = Contexts(document, tokenizer, options.max_tokens, max_heading_tokens)
        self._atoms = Atoms(document.text, self.token_starts, self._contexts)

    def count(self, start: int, end: int) -> int:
        """Tokens that begin in those characters."""
        return self._atoms.count(start, end)

    def fitting_tokens(self, path: tuple[Block, ...], start: int) -> int:
        """The most tokens of a chunk under the headings `path` that begins at `start`."""
        return self._contexts.max_tokens(path, start)

    def sections(self) -> list[Group]:
        """The sections in order, each alone."""
        return [Group((section,)) for section in split_sections(self.document)]

    def groups(self) -> list[Group]:
        """The sections in order, tiny neighbours together."""
        sections = split_sections(self.document)
        return merge_tiny(sections, [self.count(s.start, s.end) for s in sections], self.max_tokens)

    def atoms(self, group: Group) -> list[Atom]:
        return [atom for block in group.blocks for atom in self._atoms.of(block, group.path)]

    def chunks(self, pieces: Iterable[Piece]) -> list[Chunk]:
        """Chunks of the pieces. A piece whose text alone has too many tokens is halved.

        Text alone may have more tokens than inside the document: after a cut through a word, or with tokenizers that
        join a space to the next word.
        """
        chunks: list[Chunk] = []
        text, pieces = self.document.text, list(pieces)
        starts_of = self._tokenizer.token_starts([text[piece.start : piece.end] for piece in pieces])
        for piece, starts in zip(pieces, starts_of, strict=True):
            if not starts and not is_visible(text[piece.start : piece.end]):
                continue
            max_tokens = self._contexts.max_tokens(piece.path, piece.start)
            if len(starts) <= max_tokens or piece.end - piece.start == 1:
                chunks.append(self._chunk(piece, len(starts)))
            else:
                chunks.extend(self.chunks(self._halves(piece, starts[len(starts) // 2])))
        return chunks

    def _chunk(self, piece: Piece, num_tokens: int) -> Chunk:
        text, context = self.document.text[piece.start : piece.end], self._contexts.of(piece.path, piece.start)
        return Chunk(text, piece.start, piece.end, context, num_tokens, piece.shown)

    def _halves(self, piece: Piece, length: int) -> list[Piece]:
        middle = piece.start + min(max(length, 1), piece.end - piece.start - 1)
        spans = (strip(self.document.text, piece.start, middle), strip(self.document.text, middle, piece.end))
        return [replace(piece, start=span[0], end=span[1]) for span in spans if span]


def _token_starts(document: Document, tokenizer: Tokenizer) -> list[int]:
    """The start of each token of the document. It is split at blocks: many short texts are faster than a long one."""
    borders = [0, *(block.start for block in document.blocks[1:]), len(document.text)]
    per_piece = tokenizer.token_starts([document.text[start:end] for start, end in pairwise(borders)])
    return [border + start for border, starts in zip(borders, per_piece, strict=False) for start in starts]
