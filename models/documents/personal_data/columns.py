"""The tables of a document: where their cells end, and the names of their columns."""

from bisect import bisect_right
from collections.abc import Sequence

from models.documents.base import Block
from models.documents.tables import CELL_SEPARATOR

SEPARATORS = (CELL_SEPARATOR, "\t", ";", ",")  # of other formats, and of CSV, whose lines stay as they are
MAX_LINE = 2_000  # characters before a cell in its line; without a bound, one long line would take quadratic time
MAX_NAME = 60


class Columns:
    """The tables among the blocks of a text."""

    def __init__(self, text: str, blocks: Sequence[Block]) -> None:
        self._text = text
        self._tables = [block for block in blocks if block.kind == "table"]
        self._starts = [block.start for block in self._tables]
        self._names = [self._last_line(block) for block in self._tables]
        self._separators = [max(SEPARATORS, key=names.count) for names in self._names]

    def separated(self) -> str:
        """The text, with a bar in place of each comma, semicolon and tab that separates cells: 40,030 1234 are two."""
        pieces, end = list[str](), 0
        for block, separator in zip(self._tables, self._separators, strict=True):
            if len(separator) == 1:
                table = self._text[block.start : block.end].replace(separator, "|")
                pieces += (self._text[end : block.start], table)
                end = block.end
        return "".join([*pieces, self._text[end:]])

    def name_at(self, position: int) -> str:
        """The name of the column of a character; empty outside of tables with names, and without a name."""
        number = bisect_right(self._starts, position) - 1
        if number < 0 or not self._tables[number].names_end <= position < self._tables[number].end:
            return ""
        rows_start = self._tables[number].names_end
        if not rows_start:
            return ""
        earliest = max(position - MAX_LINE, rows_start)
        line = self._text.rfind("\n", earliest, position) + 1
        if not line and earliest != rows_start:
            return ""
        separator = self._separators[number]
        column = self._text.count(separator, line or earliest, position)
        names = self._names[number].split(separator, column + 1)
        return names[column].strip(" \"'")[:MAX_NAME] if column < len(names) else ""

    def _last_line(self, block: Block) -> str:
        """Of the names; without names, the first line."""
        names = self._text[block.start : block.names_end].strip("\n").rsplit("\n", 1)[-1]
        return names or self._text[block.start : block.end].split("\n", 1)[0]
