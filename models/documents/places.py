"""Records where a document's blocks stand in their file, while a DocumentBuilder collects them."""

from collections.abc import Sequence
from dataclasses import replace

from models.location import Anchor, Location


class Places:
    """The anchors so far, and the place of what comes next."""

    def __init__(self) -> None:
        self._anchors: list[Anchor] = []
        self._next = Anchor(0, None)

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """All anchors, in order; empty if no place was ever known."""
        return tuple(self._anchors)

    def expect(self, location: Location | None, counts_lines: bool) -> None:
        """The place of the blocks that come next."""
        self._next = Anchor(0, location, counts_lines and location is not None)

    def begin_block(self, start: int) -> None:
        """A block begins at character `start` of the document."""
        self._add(replace(self._next, start=start))

    def turn(self, start: int, location: Location) -> None:
        """From character `start` on, the last block and those after it stand at `location`."""
        self.expect(location, False)
        self.begin_block(start)

    def number_rows(self, start: int, lines: Sequence[str], row_numbers: Sequence[int]) -> None:
        """Lines of the last block, a table that begins at `start`, are these rows of the expected sheet.

        If lines of the file are expected, they are those.
        """
        place, expected = self._next.location or Location("row", 1, 1), -1
        while row_numbers and self._anchors and self._anchors[-1].start >= start:
            self._anchors.pop()
        for line, number in zip(lines, row_numbers, strict=False):
            if number != expected:
                self._add(Anchor(start, replace(place, first=number, last=number), counts_lines=True))
            expected, start = number + 1, start + len(line) + 1

    def _add(self, anchor: Anchor) -> None:
        """Add it, unless the text before stands at the same place."""
        before = self._anchors[-1] if self._anchors else Anchor(0, None)
        if anchor.counts_lines or before.counts_lines or anchor.location != before.location:
            self._anchors.append(anchor)
