"""The cells of a sheet, as they are shown: only those with a value, wherever they stand."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from models.documents.office.package import OfficePackage
from models.documents.sheets.number_format import shown
from models.documents.sheets.workbook import TRUE, Workbook, elements, rich_text
from models.documents.text import one_line
from models.documents.word.xml import Element

REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})$")
MAX_MERGED = 100_000
HIDDEN_ROWS, HIDDEN_COLUMNS, FORMULAS = "hidden rows", "hidden columns", "formulas without a stored value"


@dataclass
class Sheet:
    """`rows`: row number -> column number -> text, both from 1 and in order. `merged`: (top, left, bottom, right)."""

    rows: dict[int, dict[int, str]] = field(default_factory=dict)
    merged: list[tuple[int, int, int, int]] = field(default_factory=list)
    omissions: dict[str, int] = field(default_factory=dict)
    num_cells: int = 0

    def omit(self, name: str, count: int = 1) -> None:
        self.omissions[name] = self.omissions.get(name, 0) + count


class TooManyCellsError(Exception):
    """A workbook has more cells with values than allowed."""


def read_sheet(package: OfficePackage, part_name: str, workbook: Workbook, max_cells: int) -> Sheet:
    """The cells that a reader sees. Raises TooManyCellsError, and the errors of zipfile and lxml."""
    sheet = Sheet()
    hidden: list[tuple[int, int]] = []
    next_row = 1
    for element in elements(package, part_name, "col", "row", "mergeCell"):
        kind = etree.QName(element).localname
        if kind == "col" and (element.get("hidden") or "") in TRUE:
            hidden.append((_number(element.get("min"), 1), _number(element.get("max"), 1)))
        elif kind == "mergeCell":
            _add_merged(sheet, element.get("ref") or "")
        elif kind == "row":
            number = _number(element.get("r"), next_row)
            next_row = number + 1
            _add_row(sheet, element, number, workbook)
        if sheet.num_cells > max_cells:
            raise TooManyCellsError
    _drop_columns(sheet, hidden)
    return sheet


def _add_row(sheet: Sheet, row: Element, number: int, workbook: Workbook) -> None:
    cells = dict(_cells(row, workbook, sheet))
    if not cells:
        return
    if (row.get("hidden") or "") in TRUE:
        sheet.omit(HIDDEN_ROWS)
        return
    sheet.rows[number] = cells
    sheet.num_cells += len(cells)


def _cells(row: Element, workbook: Workbook, sheet: Sheet) -> Iterator[tuple[int, str]]:
    column = 0
    for cell in row.iterchildren("{*}c"):
        place = _place(cell.get("r") or "")
        column = place[1] if place else column + 1
        text = one_line(_cell_text(cell, workbook, sheet))
        if text:
            yield column, text


def _cell_text(cell: Element, workbook: Workbook, sheet: Sheet) -> str:
    kind = cell.get("t") or "n"
    if kind == "inlineStr":
        return rich_text(cell)
    stored = cell.find("{*}v")
    value = "" if stored is None else stored.text or ""
    if not value:
        if cell.find("{*}f") is not None and kind != "str":
            sheet.omit(FORMULAS)
        return ""
    if kind == "s":
        place = _number(value, -1)
        return workbook.texts[place] if 0 <= place < len(workbook.texts) else ""
    if kind == "b":
        return "TRUE" if value in TRUE else "FALSE"
    return value if kind in ("str", "e", "d") else _shown(value, cell, workbook)


def _shown(value: str, cell: Element, workbook: Workbook) -> str:
    style = _number(cell.get("s"), 0)
    code = workbook.formats[style] if style < len(workbook.formats) else ""
    try:
        return shown(float(value), code, workbook.is_1904)
    except (ValueError, OverflowError):
        return value


def _place(reference: str) -> tuple[int, int] | None:
    """B3 -> (3, 2)."""
    match = REFERENCE.match(reference)
    if match is None:
        return None
    column = 0
    for letter in match.group(1):
        column = column * 26 + ord(letter) - 64
    return int(match.group(2)), column


def _add_merged(sheet: Sheet, reference: str) -> None:
    first, _, last = reference.partition(":")
    start, end = _place(first), _place(last)
    if start and end and len(sheet.merged) < MAX_MERGED:
        sheet.merged.append((*start, *end))


def _drop_columns(sheet: Sheet, hidden: list[tuple[int, int]]) -> None:
    if not hidden:
        return
    used = {column for cells in sheet.rows.values() for column in cells}
    dropped = {column for column in used if any(first <= column <= last for first, last in hidden[:1000])}
    if dropped:
        sheet.omit(HIDDEN_COLUMNS, len(dropped))
        for number, cells in sheet.rows.items():
            sheet.rows[number] = {column: text for column, text in cells.items() if column not in dropped}


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 9 else default
