"""The cells of a sheet before Excel 2007, as xlrd reads them and as they are shown."""

from collections.abc import Iterator
from typing import Any

from models.documents.sheets.cells import HIDDEN_COLUMNS, HIDDEN_ROWS, MAX_MERGED, Sheet, TooManyCellsError
from models.documents.sheets.number_format import shown
from models.documents.text import one_line

EMPTY, TEXT, NUMBER, DATE, BOOLEAN, ERROR = range(6)  # xlrd's types of cells
ERRORS = {0: "#NULL!", 7: "#DIV/0!", 15: "#VALUE!", 23: "#REF!", 29: "#NAME?", 36: "#NUM!", 42: "#N/A"}


def read_binary_sheet(workbook: Any, sheet: Any, max_cells: int) -> Sheet:
    """The cells that a reader sees. Raises TooManyCellsError."""
    cells = Sheet()
    hidden = {number for number, info in sheet.colinfo_map.items() if info.hidden}
    dropped: set[int] = set()
    for number in range(sheet.nrows):
        texts = _row(workbook, sheet, number)
        if not texts:
            continue
        if number in sheet.rowinfo_map and sheet.rowinfo_map[number].hidden:
            cells.omit(HIDDEN_ROWS)
            continue
        dropped |= hidden & texts.keys()
        cells.rows[number + 1] = {column + 1: text for column, text in texts.items() if column not in hidden}
        cells.num_cells += len(texts)
        if cells.num_cells > max_cells:
            raise TooManyCellsError
    cells.rows = {number: row for number, row in cells.rows.items() if row}
    if dropped:
        cells.omit(HIDDEN_COLUMNS, len(dropped))
    # From 1, and with the last row and column: xlrd counts from 0, and up to the one after the last.
    cells.merged = [(top + 1, left + 1, bottom, right) for top, bottom, left, right in sheet.merged_cells[:MAX_MERGED]]
    return cells


def _row(workbook: Any, sheet: Any, number: int) -> dict[int, str]:
    texts = ((column, one_line(_text(workbook, cell))) for column, cell in enumerate(sheet.row(number)))
    return {column: text for column, text in texts if text}


def _text(workbook: Any, cell: Any) -> str:
    if cell.ctype in (NUMBER, DATE):
        return shown(float(cell.value), _format(workbook, cell), workbook.datemode == 1)
    if cell.ctype == BOOLEAN:
        return "TRUE" if cell.value else "FALSE"
    if cell.ctype == ERROR:
        return ERRORS.get(cell.value, "#ERROR!")
    return str(cell.value) if cell.ctype == TEXT else ""


def _format(workbook: Any, cell: Any) -> str:
    style = workbook.xf_list[cell.xf_index] if cell.xf_index is not None else None
    form = workbook.format_map.get(style.format_key) if style is not None else None
    return str(form.format_str) if form is not None else ""


class CellComments:
    """The comments of a sheet, in order."""

    def __init__(self, sheet: Any) -> None:
        self._notes = sheet.cell_note_map

    def texts(self) -> Iterator[str]:
        for (row, column), note in sorted(self._notes.items(), key=lambda item: item[0]):
            text = one_line(note.text or "")
            if text:
                yield f"Comment on {_letters(column)}{row + 1}: {text}"


def _letters(column: int) -> str:
    """0 -> A, 26 -> AA."""
    letters = ""
    column += 1
    while column:
        column, place = divmod(column - 1, 26)
        letters = chr(65 + place) + letters
    return letters
