"""Tables with merged cells as lines of text: each row has a cell for each column, in the column's place."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

CELL_SEPARATOR = " | "
_BORDER = re.compile(r"(?<!\S)\|(?!\S)")
MAX_COLUMNS = 1_000  # of one cell: HTML's own limit
# Cells that spans may add to a table. A single cell can claim 65,534 rows of 1,000 columns.
MIN_ADDED_CELLS = 1_000
MAX_ADDED_PER_CELL = 16


@dataclass(frozen=True)
class Cell:
    """A cell of a file. `num_rows` 0 means all rows below; `is_header`: it names a column or a row."""

    text: str
    num_columns: int = 1
    num_rows: int = 1
    is_header: bool = False


@dataclass(frozen=True)
class TableText:
    """A table's lines. The first `num_header_lines` are the names of its columns.

    `row_numbers` are the rows of the lines in a sheet, counted from 1; empty for a table that is not of a sheet.
    """

    text: str
    num_header_lines: int
    row_numbers: tuple[int, ...] = ()


def table_text(
    rows: Iterable[list[Cell]], num_header_rows: int | None = None, first_row: int | None = None
) -> TableText:
    """The table as text, without empty rows and columns.

    A cell over several rows is repeated in each: a row then says what it belongs to. A cell over several columns
    stands in the first of them; a column name over several columns is repeated. `num_header_rows` None means the rows
    of header cells at the top, at least one. `first_row` is the number of the first row in its sheet, from 1.
    """
    cells = list(rows)
    num_headers = _num_header_rows(cells) if num_header_rows is None else num_header_rows
    grid = _Grid(cells, num_headers)
    lines = grid.lines()
    num_header_lines = sum(1 for line in lines[:num_headers] if line)
    row_numbers = [] if first_row is None else [number for number, line in enumerate(lines, first_row) if line]
    return TableText("\n".join(filter(None, lines)), num_header_lines, tuple(row_numbers))


def _num_header_rows(rows: list[list[Cell]]) -> int:
    """The rows before the first with content. A table of header cells alone has one."""
    for number, row in enumerate(rows):
        if not all(cell.is_header for cell in row):
            return max(number, 1)
    return 1


class _Grid:
    """Lays out rows of cells. `_hanging` has the rows that a cell above still takes in a column, and its text there."""

    def __init__(self, rows: list[list[Cell]], num_headers: int) -> None:
        self._rows, self._num_headers = rows, num_headers
        self._room = MIN_ADDED_CELLS + MAX_ADDED_PER_CELL * sum(map(len, rows))
        self._hanging: dict[int, tuple[int, str]] = {}

    def lines(self) -> list[str]:
        """A line for each row; an empty one for a row without text."""
        grid = [self._texts(number, row) for number, row in enumerate(self._rows)]
        used = sorted({column for texts in grid for column, text in enumerate(texts) if text})
        lines = (CELL_SEPARATOR.join(texts[at] if at < len(texts) else "" for at in used) for texts in grid)
        return [_line(row, line) for row, line in zip(self._rows, lines, strict=True)]

    def _texts(self, number: int, row: list[Cell]) -> list[str]:
        texts: list[str] = []
        for cell in row:
            self._take_hanging(texts)
            self._place(cell, number, texts)
        # A row may end before a column that a cell above takes.
        last = max((column for column in self._hanging if column >= len(texts)), default=-1)
        while len(texts) <= last:
            self._take_hanging(texts)
            if len(texts) <= last:
                texts.append("")
        return texts

    def _take_hanging(self, texts: list[str]) -> None:
        while len(texts) in self._hanging:
            column = len(texts)
            num_rows, text = self._hanging.pop(column)
            texts.append(text)
            if num_rows > 1:
                self._hanging[column] = (num_rows - 1, text)

    def _place(self, cell: Cell, number: int, texts: list[str]) -> None:
        num_columns, num_rows = self._bounded_span(cell, number)
        for text in self._columns(cell_text(cell.text), num_columns, number):
            self._hanging.pop(len(texts), None)  # where two cells claim one place, the lower wins
            if num_rows > 1:
                self._hanging[len(texts)] = (num_rows - 1, text)
            texts.append(text)

    def _bounded_span(self, cell: Cell, number: int) -> tuple[int, int]:
        num_columns = min(max(cell.num_columns, 1), MAX_COLUMNS)
        num_below = len(self._rows) - number
        num_rows = min(cell.num_rows, num_below) if cell.num_rows > 0 else num_below
        if num_columns * num_rows - 1 > self._room:
            return 1, 1
        self._room -= num_columns * num_rows - 1
        return num_columns, num_rows

    def _columns(self, text: str, num_columns: int, number: int) -> Iterator[str]:
        yield text
        is_name = number < self._num_headers and len(self._rows[number]) > 1
        for _ in range(num_columns - 1):
            yield text if is_name else ""


def cell_text(text: str) -> str:
    """The text with a backslash before each bar that would look like the border of a cell."""
    return _BORDER.sub(r"\|", text) if "|" in text else text


def _line(row: list[Cell], line: str) -> str:
    """A row's line without empty cells at its end, unless a cell spans them. Cells repeated from above are no row."""
    if not row or not line.strip(" |"):
        return ""
    if row[-1].num_columns > 1:
        return line.rstrip()
    stripped = line.rstrip(" |")
    return f"{stripped}|" if stripped.endswith("\\") and line[len(stripped) :].startswith("|") else stripped
