"""Cuts a document into chunks along headings, then paragraphs, then sentences, then tokens as a last resort."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate, pairwise

from sentencex import get_sentence_boundaries

from models.documents.base import Block, Document
from models.documents.chunkers.base import ChunkingOptions
from models.documents.chunkers.column_names import ColumnNames
from models.documents.options import NoOptions
from models.documents.sections import Group, merge_tiny, split_sections
from models.documents.text import is_visible, one_line
from models.tokens.text_tokenizer import Tokenizer
from models.types import Chunk

MAX_CONTEXT_TOKENS = 32  # of the headings. Names of columns may take more: the text is then shorter.
NUM_SEPARATOR_TOKENS = 2
CONTEXT_SEPARATOR = " > "
TITLE_SEPARATORS = (" - ", " | ", " – ", " — ", " · ")  # "Duck - Wikipedia"
# sentencex is quadratic in text without sentences: 10,000 characters of "![" took 0.35 s, 2,000 take 0.01 s.
SENTENCE_WINDOW_CHARS = 2_000
MIN_LETTERS_FRACTION = 0.25  # long text with fewer has no sentences
MIN_COUNTED_CHARS = 500


class StructureChunker:
    """A Chunker of kind `structure`."""

    config_class = NoOptions

    def __init__(self, name: str, config: NoOptions) -> None:
        """Nothing to load."""

    def chunk(self, document: Document, tokenizer: Tokenizer, options: ChunkingOptions) -> list[Chunk]:
        """The document's chunks in order. Together they contain all text except headings.

        A chunk stays inside one section. Tiny neighbours under one parent are joined. A chunk that begins in the rows
        of a table has the names of its columns in its context. Time and memory are linear in the text.
        """
        starts = _token_starts(document, tokenizer)
        contexts = _Contexts(document, tokenizer, options.max_tokens)
        cutter = _Cutter(document.text, starts, options, contexts)
        sections = split_sections(document)
        groups = merge_tiny(sections, [cutter.count(s.start, s.end) for s in sections], options.max_tokens)
        spans = [(start, end, group.path) for group in groups for start, end in cutter.cut(group)]
        return _split_to_fit(document.text, spans, tokenizer, contexts)


def _token_starts(document: Document, tokenizer: Tokenizer) -> list[int]:
    """The start of each token of the document. It is split at blocks: many short texts are faster than a long one."""
    borders = [0, *(block.start for block in document.blocks[1:]), len(document.text)]
    per_piece = tokenizer.token_starts([document.text[start:end] for start, end in pairwise(borders)])
    return [border + start for border, starts in zip(borders, per_piece, strict=False) for start in starts]


class _Border(IntEnum):
    """The kind of text that begins at an atom. Chunks prefer to begin at a higher one, overlaps never at TOKEN."""

    TOKEN = 0
    SENTENCE = 1
    BLOCK = 2


@dataclass(frozen=True)
class _Atom:
    """Text that is never cut: a sentence or a line, or a piece of a sentence that is too long for a chunk.

    `first_token` and `end_token` are indexes in the list of token starts. A chunk that begins here has at most
    `max_tokens`.
    """

    start: int
    end: int
    first_token: int
    end_token: int
    border: _Border
    max_tokens: int


class _Cutter:
    def __init__(self, text: str, token_starts: list[int], options: ChunkingOptions, contexts: "_Contexts") -> None:
        self._text = text
        self._contexts = contexts
        self._token_starts = token_starts
        self._max_tokens = options.max_tokens
        self._overlap_tokens = options.overlap_tokens

    def count(self, start: int, end: int) -> int:
        """Tokens that begin in text[start:end]."""
        return bisect_left(self._token_starts, end) - bisect_left(self._token_starts, start)

    def cut(self, group: Group) -> list[tuple[int, int]]:
        """The spans of a group's chunks, in order; neighbours may overlap."""
        if self.count(group.start, group.end) <= self._max_tokens:
            return [(group.start, group.end)]
        return self._pack([atom for block in group.blocks for atom in self._atoms(block, group.path)])

    def _pack(self, atoms: list[_Atom]) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        first = done = 0
        while done < len(atoms):
            end = self._best_end(atoms, first, done)
            spans.append((atoms[first].start, atoms[end - 1].end))
            first, done = self._overlap_start(atoms, first, end), end
        return spans

    def _best_end(self, atoms: list[_Atom], first: int, done: int) -> int:
        """The end of the chunk that begins at `first`: the end of a block if the chunk is then at least half full."""
        end = done + 1
        while end < len(atoms) and self._fits(atoms, first, end):
            end += 1
        if end == len(atoms):
            return end
        for border in range(end, done, -1):
            if atoms[border].end_token - atoms[first].first_token < atoms[first].max_tokens // 2:
                break
            if atoms[border].border is _Border.BLOCK:
                return border
        return end

    def _overlap_start(self, atoms: list[_Atom], first: int, end: int) -> int:
        """The start of the next chunk: as many whole sentences before `end` as the overlap allows.

        They leave room for the remainder of the block if a chunk can hold it, as whole paragraphs are better.
        """
        last, best = self._last_of_block(atoms, end), end
        for start in range(end - 1, first, -1):
            overlap = atoms[end - 1].end_token - atoms[start].first_token
            if overlap > self._overlap_tokens or not self._fits(atoms, start, last):
                break
            if atoms[start].border is not _Border.TOKEN:
                best = start
        return best

    def _last_of_block(self, atoms: list[_Atom], start: int) -> int:
        """The last atom of the block of `start`, or `start` itself if a chunk cannot hold that much."""
        last = min(start, len(atoms) - 1)
        while last + 1 < len(atoms) and atoms[last + 1].border is not _Border.BLOCK:
            last += 1
            if not self._fits(atoms, start, last):
                return start
        return last

    def _fits(self, atoms: list[_Atom], first: int, last: int) -> bool:
        return atoms[last].end_token - atoms[first].first_token <= atoms[first].max_tokens

    def _atoms(self, block: Block, path: tuple[Block, ...]) -> Iterator[_Atom]:
        border = _Border.BLOCK
        is_verbatim = block.kind in ("table", "code")
        max_tokens = self._contexts.max_tokens(path, block.names_end)
        for start, end in self._lines(block) if is_verbatim else self._sentences(block):
            for piece_start, piece_end in self._pieces(start, end, max_tokens):
                yield self._atom(piece_start, piece_end, border, max_tokens)
                border = _Border.TOKEN
            border = _Border.SENTENCE

    def _atom(self, start: int, end: int, border: _Border, max_tokens: int) -> _Atom:
        first_token, end_token = bisect_left(self._token_starts, start), bisect_left(self._token_starts, end)
        return _Atom(start, end, first_token, end_token, border, max_tokens)

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
            if stripped := _strip(self._text, start, end):
                yield stripped


def _strip(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The span without white space at its ends, or None if it is blank."""
    piece = text[start:end]
    inner = piece.strip()
    if not inner:
        return None
    start += len(piece) - len(piece.lstrip())
    return start, start + len(inner)


def _split_to_fit(
    text: str, spans: list[tuple[int, int, tuple[Block, ...]]], tokenizer: Tokenizer, contexts: "_Contexts"
) -> list[Chunk]:
    """Chunks of the spans. A span whose text alone has too many tokens is halved.

    Text alone may have more tokens than inside the document: after a cut through a word, or with tokenizers that join a
    space to the next word.
    """
    chunks: list[Chunk] = []
    starts_of = tokenizer.token_starts([text[start:end] for start, end, _ in spans])
    for (start, end, path), starts in zip(spans, starts_of, strict=True):
        if not starts and not is_visible(text[start:end]):
            continue
        if len(starts) <= contexts.max_tokens(path, start) or end - start == 1:
            chunks.append(Chunk(text[start:end], start, end, contexts.of(path, start), len(starts)))
            continue
        middle = start + min(max(starts[len(starts) // 2], 1), end - start - 1)
        halves = filter(None, (_strip(text, start, middle), _strip(text, middle, end)))
        chunks.extend(_split_to_fit(text, [(*half, path) for half in halves], tokenizer, contexts))
    return chunks


class _Contexts:
    """Title, headings and names of columns as one line.

    Title and headings have at most MAX_CONTEXT_TOKENS tokens; the outermost are dropped first. Names of columns come
    on top of them, at most half a chunk.
    """

    def __init__(self, document: Document, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._document = document
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._column_names = ColumnNames(document, tokenizer, max_tokens // 2)
        self._headings: dict[tuple[Block, ...], tuple[str, int]] = {}

    def of(self, path: tuple[Block, ...], start: int) -> str:
        """The context of a chunk under the headings `path` that begins at `start`."""
        names, _ = self._column_names.above(start)
        return CONTEXT_SEPARATOR.join(filter(None, (self._bounded(path)[0], names)))

    def max_tokens(self, path: tuple[Block, ...], start: int) -> int:
        """The most tokens of that chunk's text."""
        _, num_tokens = self._column_names.above(start)
        if not num_tokens:
            return self._max_tokens
        excess = self._bounded(path)[1] + NUM_SEPARATOR_TOKENS + num_tokens - MAX_CONTEXT_TOKENS
        return self._max_tokens - max(0, excess)

    def _names(self, path: tuple[Block, ...]) -> list[str]:
        headings = [one_line(self._document.text[block.start : block.end]) for block in path]
        title = one_line(self._document.title)
        is_repeated = bool(headings) and headings[0].casefold() in _title_parts(title.casefold())
        return headings if is_repeated or not title else [title, *headings]

    def _bounded(self, path: tuple[Block, ...]) -> tuple[str, int]:
        """Title and headings, and their number of tokens."""
        if path not in self._headings:
            self._headings[path] = self._shortened(self._names(path))
        return self._headings[path]

    def _shortened(self, names: list[str]) -> tuple[str, int]:
        while True:
            context = CONTEXT_SEPARATOR.join(names)
            (starts,) = self._tokenizer.token_starts([context])
            if len(starts) <= MAX_CONTEXT_TOKENS:
                return context, len(starts)
            # A single heading that is too long is truncated, and again if the cut word now has more tokens.
            names = names[1:] or [context[: starts[MAX_CONTEXT_TOKENS]].rstrip()]


def _title_parts(title: str) -> set[str]:
    names = {title}
    for separator in TITLE_SEPARATORS:
        names.update(name.strip() for name in title.split(separator))
    return names
