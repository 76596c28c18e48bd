"""Sentences and lines: the smallest pieces that chunkers put together."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate, pairwise

from sentencex import get_sentence_boundaries

from models.documents.base import Block
from models.documents.chunkers.contexts import Contexts

# sentencex is quadratic in text without sentences: 10,000 characters of "![" took 0.35 s, 2,000 take 0.01 s.
SENTENCE_WINDOW_CHARS = 2_000
MIN_LETTERS_FRACTION = 0.25  # long text with fewer has no sentences
MIN_COUNTED_CHARS = 500


class Border(IntEnum):
    """The kind of text that begins at an atom. Chunks prefer to begin at a higher one, overlaps never at TOKEN."""

    TOKEN = 0
    SENTENCE = 1
    BLOCK = 2


@dataclass(frozen=True)
class Atom:
    """Text that is never cut: a sentence or a line, or a piece of a sentence that is too long for a chunk.

    `first_token` and `end_token` are indexes in the list of token starts. A chunk that begins here has at most
    `max_tokens`.
    """

    start: int
    end: int
    first_token: int
    end_token: int
    border: Border
    max_tokens: int


class Atoms:
    """Cuts the blocks of one document into atoms."""

    def __init__(self, text: str, token_starts: list[int], contexts: Contexts) -> None:
        self._text, self._token_starts, self._contexts = text, token_starts, contexts

    def count(self, start: int, end: int) -> int:
        """Tokens that begin in text[start:end]."""
        return bisect_left(self._token_starts, end) - bisect_left(self._token_starts, start)

    def of(self, block: Block, path: tuple[Block, ...]) -> Iterator[Atom]:
        """The atoms of a block under the headings `path`, in order."""
        border = Border.BLOCK
        is_verbatim = block.kind in ("table", "code")
        max_tokens = self._contexts.max_tokens(path, block.names_end)
        for start, end in self._lines(block) if is_verbatim else self._sentences(block):
            for piece_start, piece_end in self._pieces(start, end, max_tokens):
                yield self._atom(piece_start, piece_end, border, max_tokens)
                border = Border.TOKEN
            border = Border.SENTENCE

    def _atom(self, start: int, end: int, border: Border, max_tokens: int) -> Atom:
        first_token, end_token = bisect_left(self._token_starts, start), bisect_left(self._token_starts, end)
        return Atom(start, end, first_token, end_token, border, max_tokens)

    def _lines(self, block: Block) -> Iterator[tuple[int, int]]:
        lines = self._text[block.start : block.end].split("\n")
        starts = accumulate((len(line) + 1 for line in lines), initial=block.start)
        return self._stripped((start, start + len(line)) for start, line in zip(starts, lines, strict=False))

    def _sentences(self, block: Block) -> Iterator[tuple[int, int]]:
        borders: list[int] = []
        for start, end in self._windows(block):
            text = self._text[start:end]
            is_text = len(text) < MIN_COUNTED_CHARS or sum(map(str.isalnum, text)) >= MIN_LETTERS_FRACTION * len(text)
            sentences = get_sentence_boundaries("en", text) if is_text else [{"start_index": 0}]
            borders.extend(start + sentence["start_index"] for sentence in sentences)
        return self._stripped(pairwise([block.start, *borders[1:], block.end]))

    def _windows(self, block: Block) -> Iterator[tuple[int, int]]:
        """Parts of a block that end with a sentence or a word, as far as they have one."""
        start = block.start
        while block.end - start > SENTENCE_WINDOW_CHARS:
            limit = start + SENTENCE_WINDOW_CHARS
            middle = start + SENTENCE_WINDOW_CHARS // 2
            end = max(self._text.rfind(mark, middle, limit) for mark in (". ", "\n"))
            end = (end if end > 0 else self._text.rfind(" ", middle, limit)) + 1 or limit
            yield start, end
            start = end
        yield start, block.end

    def _pieces(self, start: int, end: int, max_tokens: int) -> Iterator[tuple[int, int]]:
        """The span itself if it fits into a chunk; else pieces that fit, cut at white space if possible."""
        while self.count(start, end) > max_tokens:
            first = bisect_left(self._token_starts, start)
            limit = max(self._token_starts[first + max_tokens], start + 1)
            cut = self._white_space(self._token_starts[first + max_tokens // 2], limit) or limit
            yield from self._stripped([(start, cut)])
            start = cut
        yield from self._stripped([(start, end)])

    def _white_space(self, start: int, end: int) -> int:
        """The last line break in text[start:end], else the last space, else 0."""
        return max(self._text.rfind("\n", start, end), 0) or max(self._text.rfind(" ", start, end), 0)

    def _stripped(self, spans: Iterator[tuple[int, int]] | list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        for start, end in spans:
            if stripped := strip(self._text, start, end):
                yield stripped


def strip(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The span without white space at its ends, or None if it is blank."""
    piece = text[start:end]
    inner = piece.strip()
    if not inner:
        return None
    start += len(piece) - len(piece.lstrip())
    return start, start + len(inner)
