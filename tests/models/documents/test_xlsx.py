"""Excel workbooks: sheets as tables, with names of columns, merged cells, and values as shown."""

import datetime
import io
import zipfile

import openpyxl
import pytest
from document_checks import assert_well_formed, block_texts
from openpyxl.comments import Comment

from models.documents.chunk import chunk
from models.documents.chunkers.base import ChunkingOptions
from models.documents.parse import parse
from models.documents.parsers.xlsx import XlsxConfig, XlsxParser
from models.errors.requests import UnreadableDocumentError
from models.tokens.text_tokenizer import WordTokenizer


def saved(workbook: openpyxl.Workbook) -> bytes:
    content = io.BytesIO()
    workbook.save(content)
    return content.getvalue()


def of_rows(*rows: list[object]) -> openpyxl.Workbook:
    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(row)
    return workbook


def with_sheet_xml(content: bytes, old: bytes, new: bytes) -> bytes:
    """The file with a replacement in its first sheet."""
    copy = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(copy, "w") as target:
        for name in source.namelist():
            part = source.read(name)
            target.writestr(name, part.replace(old, new) if name == "xl/worksheets/sheet1.xml" else part)
    return copy.getvalue()


@pytest.mark.parametrize("filename", ["a.xlsx", "a.csv", "upload"])
def test_a_sheet_is_a_table_under_its_name_and_title(filename: str) -> None:
    workbook = of_rows(["Sales 2026"], [], ["Region", "Sold", None], [None, "Units", "Revenue"], ["North", 10, 1234.5])
    sheet = workbook.active
    sheet.title = "Sales"
    sheet.append([None, 20, 0.256])
    for merged in ("A1:C1", "A3:A4", "B3:C3", "A5:A6"):
        sheet.merge_cells(merged)
    sheet["C5"].number_format, sheet["C6"].number_format = '"$"#,##0.00', "0.0%"

    document = parse(saved(workbook), filename)

    assert_well_formed(document)
    assert block_texts(document) == [
        ("heading", "Sales"),
        ("paragraph", "Sales 2026"),
        (
            "table",
            "Region | Sold | Sold\nRegion | Units | Revenue\nNorth | 10 | $1,234.50\nNorth | 20 | 25.6%",
        ),
    ]
    assert document.text[document.blocks[2].names_end :].startswith("North")
    pieces = chunk(document, WordTokenizer(), ChunkingOptions())
    assert "Sales" in pieces[0].source_map
    assert [str(anchor.location) for anchor in document.anchors] == ["sheet Sales, row 1", "sheet Sales, row 3"]


def test_column_names_stand_in_every_chunk() -> None:
    rows = [["Port", "Depth", "Built"], *(["Brest", number, datetime.date(2026, 3, 3)] for number in range(200))]

    chunks = chunk(parse(saved(of_rows(*rows)), "a.xlsx"), WordTokenizer(), ChunkingOptions(max_tokens=64))

    assert len(chunks) > 5
    assert all("Port | Depth | Built" in piece.context for piece in chunks[1:])
    assert "Brest | 3 | 2026-03-03" in chunks[0].text


def test_hidden_sheets_rows_and_columns_are_counted() -> None:
    workbook = of_rows(["a", "b", "c"], [1, 2, 3], [4, 5, 6])
    workbook.active.row_dimensions[3].hidden = True
    workbook.active.column_dimensions["B"].hidden = True
    secret = workbook.create_sheet("Secret")
    secret["A1"], secret.sheet_state = "x", "veryHidden"

    document = parse(saved(workbook), "a.xlsx")

    assert block_texts(document)[1:] == [("table", "a | c\n1 | 3")]
    assert document.omissions == (("hidden columns", 1), ("hidden rows", 1), ("hidden sheets", 1))


def test_blank_rows_separate_tables_but_not_the_rows_of_one() -> None:
    workbook = of_rows(["id", "name"], [1, "a"], [], [2, "b"], [], ["x", "y"], [7, 8])

    assert [text for _, text in block_texts(parse(saved(workbook), "a.xlsx"))[1:]] == [
        "id | name\n1 | a\n2 | b",
        "x | y\n7 | 8",
    ]


def test_formulas_have_their_stored_values_and_comments_are_read() -> None:
    workbook = of_rows(["a", "b"], [1, "=A2*2"], [3, "=A3*2"], [True, "#N/A"])
    workbook.active["A2"].comment = Comment("check this", "Ana")
    content = with_sheet_xml(saved(workbook), b"<f>A2*2</f><v></v>", b"<f>A2*2</f><v>2</v>")
    content = with_sheet_xml(content, b"<f>A2*2</f><v />", b"<f>A2*2</f><v>2</v>")

    document = parse(content, "a.xlsx")

    assert block_texts(document)[1:] == [
        ("table", "a | b\n1 | 2\n3\nTRUE | #N/A"),
        ("paragraph", "Comment on A2: check this"),
    ]
    assert document.omissions == (("formulas without a stored value", 1),)


def test_a_cell_in_the_last_row_and_column_takes_no_memory() -> None:
    workbook = of_rows(["a", "b"], [1, 2])
    workbook.active.cell(2**20, 2**14, "far")
    content = with_sheet_xml(saved(workbook), b'ref="A1:XFD1048576"', b'ref="A1:XFD1048576" x="1"')

    assert parse(content, "a.xlsx").text == "Sheet\n\na | b\n1 | 2\n\nfar"


def test_limits_are_named() -> None:
    content = saved(of_rows(*([number, number] for number in range(100))))

    with pytest.raises(UnreadableDocumentError, match="more than 10 cells"):
        XlsxParser("xlsx", XlsxConfig(max_cells=10)).parse(content, "a.xlsx")
    with pytest.raises(UnreadableDocumentError, match="Excel"):
        parse(content[:2_000], "a.xlsx")
    with pytest.raises(UnreadableDocumentError, match=r"before Excel 2007.*save it as \.xlsx"):
        parse(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "a.xlsx")
