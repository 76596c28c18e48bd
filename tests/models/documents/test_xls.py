"""Excel workbooks before 2007, as their cells are shown."""

import io
from datetime import date

import pytest
import xlwt
from document_checks import assert_well_formed, block_texts

from models.catalog import Catalog
from models.documents.parse import parse
from models.documents.readable import check_readable
from models.errors.requests import UnreadableDocumentError
from tests.models.documents.test_places import place_of

CATALOG = Catalog.open()


def saved(workbook: xlwt.Workbook) -> bytes:
    buffer = io.BytesIO()
    workbook.save(buffer)
    return buffer.getvalue()


def make_workbook() -> xlwt.Workbook:
    workbook = xlwt.Workbook()
    sheet = workbook.add_sheet("Budget")
    for column, name in enumerate(["Hafen", "Anteil", "Datum", "Größe"]):
        sheet.write(0, column, name)
    for row, port in enumerate(["Brest", "Kiel"], 1):
        sheet.write(row, 0, port)
        sheet.write(row, 1, 0.256 * row, xlwt.easyxf(num_format_str="0.0%"))
        sheet.write(row, 2, date(2026, 3, row), xlwt.easyxf(num_format_str="yyyy-mm-dd"))
        sheet.write(row, 3, 12 * row)
    return workbook


@pytest.mark.parametrize("filename", ["a.xls", "upload", "a.txt"])
def test_cells_are_read_as_they_are_shown(filename: str) -> None:
    content = saved(make_workbook())

    check_readable(content, filename, CATALOG)
    document = parse(content, filename)

    assert_well_formed(document)
    assert block_texts(document) == [
        ("heading", "Budget"),
        ("table", "Hafen | Anteil | Datum | Größe\nBrest | 25.6% | 2026-03-01 | 12\nKiel | 51.2% | 2026-03-02 | 24"),
    ]
    assert place_of(document, "Kiel") == "sheet Budget, row 3"


def test_merged_cells_are_repeated_and_hidden_ones_are_counted() -> None:
    workbook = make_workbook()
    sheet = workbook.get_sheet(0)
    sheet.write_merge(3, 4, 0, 0, "Rostock")
    sheet.write(3, 3, 7)
    sheet.write(4, 3, 8)
    sheet.write(5, 3, 9)
    sheet.row(5).hidden = True
    workbook.add_sheet("Secret").visibility = 1
    workbook.get_sheet(1).write(0, 0, "hidden")

    document = parse(saved(workbook), "a.xls")

    assert "Rostock |  |  | 7\nRostock |  |  | 8" in document.text
    assert dict(document.omissions) == {"hidden rows": 1, "hidden sheets": 1}


def test_a_workbook_that_was_cut_short_is_one_error() -> None:
    content = saved(make_workbook())

    for size in (600, len(content) // 2, len(content) - 3000):
        with pytest.raises(UnreadableDocumentError, match=r"not a readable Excel file|no text"):
            parse(content[:size], "a.xls")
