"""Gives each chunk its part of the document's anchors, whatever chunker cut it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace

from models.documents.base import Document
from models.location import Anchor, encode_anchors
from models.types.chunks import Chunk


def locate_chunks(document: Document, chunks: Sequence[Chunk]) -> list[Chunk]:
    """The chunks with their places in the file. Time is linear in the text if the chunks are in order."""
    if not document.anchors:
        return list(chunks)
    anchors = _DocumentAnchors(document)
    return [replace(chunk, source_map=encode_anchors(anchors.of_chunk(chunk))) for chunk in chunks]


class _DocumentAnchors:
    def __init__(self, document: Document) -> None:
        self._anchors = document.anchors
        self._starts = [anchor.start for anchor in document.anchors]
        lines = _Lines(document.text)
        self._lines = [lines.before(anchor.start) if anchor.counts_lines else 0 for anchor in document.anchors]
        self._cursor = _Lines(document.text)

    def of_chunk(self, chunk: Chunk) -> list[Anchor]:
        """The anchors of the chunk and of what is shown in its place: one at the start of each."""
        spans = [(chunk.start, chunk.end), chunk.shown or (chunk.start, chunk.end)]
        anchors = {anchor.start: anchor for start, end in spans for anchor in self._within(start, end)}
        return [anchors[start] for start in sorted(anchors)]

    def _within(self, start: int, end: int) -> Iterator[Anchor]:
        first = max(bisect_right(self._starts, start) - 1, 0)
        for number in range(first, bisect_left(self._starts, end)):
            anchor = self._anchors[number]
            yield anchor if anchor.start >= start else self._moved(number, start)

    def _moved(self, number: int, start: int) -> Anchor:
        """An anchor at a later place of its text."""
        anchor = self._anchors[number]
        if anchor.location is None or not anchor.counts_lines:
            return replace(anchor, start=start)
        num_lines = self._cursor.before(start) - self._lines[number]
        return Anchor(start, anchor.location.further(num_lines), counts_lines=True)


class _Lines:
    """Counts line breaks from the last position on: a text of 40 MB has 50,000 chunks."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = self._count = 0

    def before(self, position: int) -> int:
        """The number of line breaks before a position."""
        if position >= self._position:
            self._count += self._text.count("\n", self._position, position)
        else:
            self._count -= self._text.count("\n", position, self._position)
        self._position = position
        return self._count
