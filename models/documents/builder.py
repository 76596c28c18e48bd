"""Builds a Document block by block, for formats whose extracted text differs from the file's content."""

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from models.documents.base import MAX_HEADING_LEVEL, Block, BlockKind, Document
from models.documents.places import Places
from models.documents.tables import TableText
from models.documents.text import clean, one_line, shorten_words
from models.documents.titles import title_of
from models.location import Location

MAX_INDENT = 16  # without a bound, a page of 1,900 nested lists would be mostly spaces


class DocumentBuilder:
    """Collects blocks and joins them: a blank line between blocks, a line break between items of a list."""

    def __init__(self) -> None:
        self.title = ""
        self.doubt = ""
        self._texts: list[str] = []
        self._blocks: list[Block] = []
        self._length = 0
        self._omissions: Counter[str] = Counter()
        self._places = Places()

    def locate(self, location: Location | None, counts_lines: bool = False) -> None:
        """Say where the blocks that are added next stand in the file, until the next call. None: unknown.

        `Location("slide", 3, 3)`, or `Location("line", 7, 9)`. With `counts_lines`, each further line of the next block
        is one unit further. For the rows of a sheet, see `add_table`.
        """
        self._places.expect(location, counts_lines)

    def add(
        self, kind: BlockKind, text: str, level: int = 0, indent: int = 0, turns: Sequence[tuple[int, Location]] = ()
    ) -> None:
        """Append a block unless it is blank. `level` is for headings; `indent`, in spaces, for nested list items.

        `turns`: the characters of `text` from which on it stands elsewhere, as a paragraph over two pages.
        """
        text, num_overlong = shorten_words(clean(text))
        self.omit("overlong words", num_overlong)
        text = textwrap.dedent(text).strip() if kind == "code" else text.strip()
        if not text:
            return
        self._append(self._separator(kind) + " " * min(indent, MAX_INDENT) if self._blocks else "")
        start = self._length
        self._append(text)
        self._places.begin_block(start)
        for offset, location in turns:
            self._places.turn(min(start + offset, self._length), location)
        self._blocks.append(Block(kind, start, self._length, min(level, MAX_HEADING_LEVEL)))

    def add_table(self, table: TableText) -> None:
        """Append a table unless it is blank. Its first lines are the names of its columns.

        If the table has `row_numbers`, its lines are these rows of the sheet that `locate` named last:
        `Location("row", 1, 1, sheet="Budget")`.
        """
        num_blocks = len(self._blocks)
        self.add("table", table.text)
        if len(self._blocks) > num_blocks:
            block = self._blocks[-1]
            num_chars = sum(len(line) + 1 for line in self._texts[-1].split("\n")[: table.num_header_lines])
            names_end = min(block.start + num_chars, block.end) if table.num_header_lines else 0
            self._blocks[-1] = replace(block, names_end=names_end if names_end < block.end else 0)
            self._places.number_rows(block.start, self._texts[-1].split("\n"), table.row_numbers)

    def omit(self, name: str, count: int = 1) -> None:
        """Count what is left out on purpose, by its name in the plural."""
        if count:
            self._omissions[name] += count

    def build(self) -> Document:
        """The document so far. If it has no title but a program's, the title is its only heading of level 1."""
        text, omissions = "".join(self._texts), tuple(sorted(self._omissions.items()))
        title = title_of(clean(self.title)) or self._only_top_heading(text)
        return Document(text, tuple(self._blocks), title, omissions, self.doubt, anchors=self._places.anchors)

    def _separator(self, kind: BlockKind) -> str:
        return "\n" if kind == self._blocks[-1].kind == "list_item" else "\n\n"

    def _append(self, text: str) -> None:
        self._texts.append(text)
        self._length += len(text)

    def _only_top_heading(self, text: str) -> str:
        tops = [block for block in self._blocks if block.level == 1]
        return one_line(text[tops[0].start : tops[0].end]) if len(tops) == 1 else ""
