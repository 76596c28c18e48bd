"""Puts atoms together to chunks along the structure: whole blocks if they fit, then whole sentences."""

from models.documents.chunkers.atoms import Atom, Border
from models.documents.chunkers.base import ChunkingOptions
from models.documents.chunkers.layout import Layout, Piece
from models.documents.sections import Group


def cut_along_structure(layout: Layout, options: ChunkingOptions) -> list[Piece]:
    """The pieces of the document in order; neighbours may overlap."""
    packing = Packing(layout, options)
    return [Piece(start, end, group.path) for group in layout.groups() for start, end in packing.cut(group)]


class Packing:
    """Cuts groups of sections into spans of at most `max_tokens`."""

    def __init__(self, layout: Layout, options: ChunkingOptions) -> None:
        self._layout = layout
        self._max_tokens = options.max_tokens
        self._overlap_tokens = options.overlap_tokens

    def cut(self, group: Group) -> list[tuple[int, int]]:
        """The spans of a group's chunks, in order; neighbours may overlap."""
        if self._layout.count(group.start, group.end) <= self._max_tokens:
            return [(group.start, group.end)]
        return self._pack(self._layout.atoms(group))

    def _pack(self, atoms: list[Atom]) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        first = done = 0
        while done < len(atoms):
            end = self._best_end(atoms, first, done)
            spans.append((atoms[first].start, atoms[end - 1].end))
            first, done = self._overlap_start(atoms, first, end), end
        return spans

    def _best_end(self, atoms: list[Atom], first: int, done: int) -> int:
        """The end of the chunk that begins at `first`: the end of a block if the chunk is then at least half full."""
        end = done + 1
        while end < len(atoms) and self._fits(atoms, first, end):
            end += 1
        if end == len(atoms):
            return end
        for border in range(end, done, -1):
            if atoms[border].end_token - atoms[first].first_token < atoms[first].max_tokens // 2:
                break
            if atoms[border].border is Border.BLOCK:
                return border
        return end

    def _overlap_start(self, atoms: list[Atom], first: int, end: int) -> int:
        """The start of the next chunk: as many whole sentences before `end` as the overlap allows.

        They leave room for the remainder of the block if a chunk can hold it, as whole paragraphs are better.
        """
        last, best = self._last_of_block(atoms, end), end
        for start in range(end - 1, first, -1):
            overlap = atoms[end - 1].end_token - atoms[start].first_token
            if overlap > self._overlap_tokens or not self._fits(atoms, start, last):
                break
            if atoms[start].border is not Border.TOKEN:
                best = start
        return best

    def _last_of_block(self, atoms: list[Atom], start: int) -> int:
        """The last atom of the block of `start`, or `start` itself if a chunk cannot hold that much."""
        last = min(start, len(atoms) - 1)
        while last + 1 < len(atoms) and atoms[last + 1].border is not Border.BLOCK:
            last += 1
            if not self._fits(atoms, start, last):
                return start
        return last

    def _fits(self, atoms: list[Atom], first: int, last: int) -> bool:
        return atoms[last].end_token - atoms[first].first_token <= atoms[first].max_tokens
