"""A sheet's cells as tables: the title above, the names of columns, and the rows below them."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from models.documents.builder import DocumentBuilder
from models.documents.delimited import are_names
from models.documents.tables import CELL_SEPARATOR, Cell, TableText, cell_text, table_text
from models.location import MAX_SHEET_CHARS, Location

Row = dict[int, str]  # column number -> text
Spans = dict[tuple[int, int], tuple[int, int]]  # (row, column) -> (number of rows, of columns)
SAMPLE_ROWS = 200
# A table with fewer of its cells filled is written as the filled ones: a cell may stand in the millionth row.
MIN_FILLED = 0.02
MIN_DENSE_CELLS = 20_000
MAX_COVERED = 200_000  # cells under merged ones
MAX_NAME_ROWS = 4


def append_sheet(
    name: str, rows: dict[int, Row], merged: list[tuple[int, int, int, int]], builder: DocumentBuilder
) -> None:
    """Add a sheet under its name. Blank rows separate tables, unless the lower part goes on without names."""
    if not rows:
        return
    builder.locate(_location(name, min(rows)))
    builder.add("heading", name, 1)
    spans = _spans(rows, merged)
    for region in _parts(rows, spans):
        _append_part(name, region, spans, builder)
    builder.locate(None)


def _location(sheet: str, row: int) -> Location:
    return Location("row", row, row, sheet[:MAX_SHEET_CHARS])


def _spans(rows: dict[int, Row], merged: list[tuple[int, int, int, int]]) -> Spans:
    return {
        (top, left): (bottom - top + 1, right - left + 1)
        for top, left, bottom, right in merged
        if left in rows.get(top, {}) and bottom >= top and right >= left
    }


def _parts(rows: dict[int, Row], spans: Spans) -> Iterator[dict[int, Row]]:
    """Runs of rows without a blank one between, joined where a run has no names of its own."""
    region: dict[int, Row] = {}
    covered = 0  # the last row so far, that of its merged cells included
    for number in sorted(rows):
        if region and number > covered + 1 and _starts_anew(number, rows, region):
            yield region
            region = {}
        region[number] = rows[number]
        heights = (spans[number, column][0] for column in rows[number] if (number, column) in spans)
        covered = max(covered, number, *(number + height - 1 for height in heights))
    if region:
        yield region


def _starts_anew(number: int, rows: dict[int, Row], region: dict[int, Row]) -> bool:
    """Whether a row below a blank one is a title or has names, or stands in other columns."""
    row = rows[number]
    widest = max(islice(reversed(region.values()), SAMPLE_ROWS), key=len)
    if len(row) < 2 or len(widest) < 2 or not row.keys() & widest.keys():
        return True
    below = [rows[at] for at in range(number + 1, number + 6) if at in rows]
    columns = sorted(row)
    return bool(below) and are_names(
        [row[at] for at in columns], [[cells.get(at, "") for at in columns] for cells in below]
    )


def _append_part(sheet: str, region: dict[int, Row], spans: Spans, builder: DocumentBuilder) -> None:
    numbers = list(region)
    while numbers and len(region[numbers[0]]) == 1 and any(len(region[number]) > 1 for number in numbers):
        builder.locate(_location(sheet, numbers[0]))
        builder.add("paragraph", next(iter(region[numbers.pop(0)].values())))
    builder.locate(_location(sheet, numbers[0]))
    if (
        all(len(region[number]) == 1 for number in numbers)
        and len({column for n in numbers for column in region[n]}) == 1
    ):
        builder.add("paragraph", "\n".join(next(iter(region[number].values())) for number in numbers))
        return
    columns = sorted({column for number in numbers for column in region[number]})
    num_filled = sum(len(region[number]) for number in numbers)
    num_cells = len(numbers) * len(columns)
    if num_cells > MIN_DENSE_CELLS and num_filled < MIN_FILLED * num_cells:
        lines = (CELL_SEPARATOR.join(map(cell_text, region[number].values())) for number in numbers)
        builder.add_table(TableText("\n".join(lines), 0, tuple(numbers)))
        return
    builder.add_table(_Layout(region, numbers, columns, spans).table())


class _Layout:
    """The rows and columns of one table. `_sizes`: of its merged cells, counted in rows and columns with a value."""

    def __init__(self, region: dict[int, Row], numbers: list[int], columns: list[int], spans: Spans) -> None:
        self._part, self._numbers, self._columns = region, numbers, columns
        self._sizes: Spans = {}
        self._covered: set[tuple[int, int]] = set()
        self._room = MAX_COVERED
        for (top, left), (height, width) in spans.items():
            if numbers[0] <= top <= numbers[-1]:
                self._merge(_between(numbers, top, top + height), _between(columns, left, left + width))

    def _merge(self, rows: list[int], columns: list[int]) -> None:
        self._room -= len(rows) * len(columns)
        if len(rows) * len(columns) > 1 and self._room >= 0:
            self._sizes[rows[0], columns[0]] = (len(rows), len(columns))
            self._covered.update((row, column) for row in rows for column in columns)
            self._covered.discard((rows[0], columns[0]))

    def table(self) -> TableText:
        table = table_text([self._cells(number) for number in self._numbers], self._num_names(), first_row=0)
        return replace(table, row_numbers=tuple(self._numbers[place] for place in table.row_numbers))

    def _cells(self, number: int) -> list[Cell]:
        row = self._part[number]
        cells: list[Cell] = []
        for column in self._columns:
            if (number, column) not in self._covered:
                num_rows, num_columns = self._sizes.get((number, column), (1, 1))
                cells.append(Cell(row.get(column, ""), num_columns, num_rows))
        return cells

    def _num_names(self) -> int:
        """The rows of column names: below a name over several columns stand further names."""
        sample = [self._texts(number) for number in self._numbers[:SAMPLE_ROWS]]
        num_names = 1
        for place in range(min(MAX_NAME_ROWS, len(sample) - 1)):
            if place >= num_names:
                break
            for column in self._columns:
                num_rows, num_columns = self._sizes.get((self._numbers[place], column), (1, 1))
                num_names = max(num_names, place + num_rows + (num_columns > 1))
        num_names = min(num_names, MAX_NAME_ROWS, len(sample) - 1)
        return num_names if num_names and (num_names > 1 or are_names(sample[0], sample[1:])) else 0

    def _texts(self, number: int) -> list[str]:
        return [self._part[number].get(column, "") for column in self._columns]


def _between(values: list[int], first: int, end: int) -> list[int]:
    return values[bisect_left(values, first) : bisect_left(values, end)]
