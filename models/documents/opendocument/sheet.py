"""The sheets of an OpenDocument spreadsheet, as their cells are shown."""

from collections.abc import Iterator

from models.documents.builder import DocumentBuilder
from models.documents.opendocument.names import name, number
from models.documents.sheets.cells import TooManyCellsError
from models.documents.sheets.tables import append_sheet
from models.documents.text import one_line
from models.documents.word.xml import Element

HIDDEN_SHEETS, HIDDEN_ROWS = "hidden sheets", "hidden rows"
REPEATED_ROWS, REPEATED_CELLS = "repeated rows", "repeated cells"
# Of a row or cell with a value; empty ones are skipped at once. A file of a few bytes may repeat millions.
MAX_REPEATED = 1_000
MAX_REPEATED_CELLS = 10_000  # of a row, with its repetitions
MAX_CELLS = 2_000_000

Merged = list[tuple[int, int, int, int]]


def append_sheets(body: Element, hidden_styles: frozenset[str], builder: DocumentBuilder) -> None:
    """Add each sheet under its name."""
    for table in body.iterchildren(name("table:table")):
        if (table.get(name("table:style-name")) or "") in hidden_styles:
            builder.omit(HIDDEN_SHEETS)
            continue
        rows, merged = _read(table, builder)
        append_sheet(table.get(name("table:name")) or "", rows, merged, builder)


def _read(table: Element, builder: DocumentBuilder) -> tuple[dict[int, dict[int, str]], Merged]:
    rows: dict[int, dict[int, str]] = {}
    merged: Merged = []
    place, num_cells = 1, 0
    for row in table.iter(name("table:table-row")):
        repeated = number(row.get(name("table:number-rows-repeated")))
        cells = dict(_cells(row, place, merged, builder))
        if cells and (row.get(name("table:visibility")) or "visible") != "visible":
            builder.omit(HIDDEN_ROWS, repeated)
        elif cells:
            shown = min(repeated, MAX_REPEATED, max(1, MAX_REPEATED_CELLS // len(cells)))
            builder.omit(REPEATED_ROWS, repeated - shown)
            num_cells += len(cells) * shown
            if num_cells > MAX_CELLS:
                raise TooManyCellsError
            rows.update((place + offset, cells) for offset in range(shown))
        place += repeated
    return rows, merged


def _cells(row: Element, place: int, merged: Merged, builder: DocumentBuilder) -> Iterator[tuple[int, str]]:
    column = 1
    for cell in row.iterchildren(name("table:table-cell"), name("table:covered-table-cell")):
        repeated = number(cell.get(name("table:number-columns-repeated")))
        text = one_line("\n".join("".join(line.itertext()) for line in cell.iterchildren(name("text:p"))))
        if text and cell.tag == name("table:table-cell"):
            shown = min(repeated, MAX_REPEATED)
            builder.omit(REPEATED_CELLS, repeated - shown)
            yield from ((column + offset, text) for offset in range(shown))
            width = number(cell.get(name("table:number-columns-spanned")))
            height = number(cell.get(name("table:number-rows-spanned")))
            if width * height > 1:
                merged.append((place, column, place + height - 1, column + width - 1))
        column += repeated
