"""OpenDocument: text, spreadsheets and presentations of LibreOffice."""

import io
import zipfile

import pytest
from document_checks import assert_well_formed, block_texts

from models.documents.base import Document
from models.documents.parse import parse
from models.errors.requests import UnreadableDocumentError

SPACES = " ".join(
    f'xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{long}:1.0"'
    for short, long in (
        *(("office", "office"), ("text", "text"), ("table", "table"), ("style", "style"), ("draw", "drawing")),
        *(("svg", "svg-compatible"), ("presentation", "presentation")),
    )
)
STYLES = """<office:automatic-styles><style:style style:name="T1"><style:text-properties
 style:text-position="super 58%"/></style:style><style:style style:name="T2"><style:text-properties
 style:text-line-through-style="solid"/></style:style><style:style style:name="T3"><style:text-properties
 text:display="none"/></style:style><style:style style:name="hid"><style:table-properties table:display="false"/>
</style:style></office:automatic-styles>"""


def opendocument(kind: str, body: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("mimetype", f"application/vnd.oasis.opendocument.{kind}")
        xml = (
            f'<office:document-content xmlns:dc="http://purl.org/dc/elements/1.1/" {SPACES}>{STYLES}<office:body>{body}'
        )
        archive.writestr("content.xml", f"{xml}</office:body></office:document-content>")
    return content.getvalue()


def text(body: str) -> Document:
    document = parse(opendocument("text", f"<office:text>{body}</office:text>"), "a.odt")
    assert_well_formed(document)
    return document


def cell(value: str, attributes: str = "") -> str:
    return f"<table:table-cell {attributes}><text:p>{value}</text:p></table:table-cell>"


def row(*cells: str, attributes: str = "") -> str:
    return f"<table:table-row {attributes}>{''.join(cells)}</table:table-row>"


@pytest.mark.parametrize("filename", ["a.odt", "a.txt", "upload"])
def test_headings_lists_and_formats(filename: str) -> None:
    body = """<text:h text:outline-level="2">Tides</text:h>
    <text:p>10<text:span text:style-name="T1">6</text:span> m<text:s text:c="2"/>of <text:span
    text:style-name="T2">old</text:span><text:line-break/>water<text:span text:style-name="T3">x</text:span></text:p>
    <text:list><text:list-item><text:p>one</text:p><text:list><text:list-item><text:p>two</text:p></text:list-item>
    </text:list></text:list-item></text:list>"""

    document = parse(opendocument("text", f"<office:text>{body}</office:text>"), filename)

    assert block_texts(document) == [
        ("heading", "Tides"),
        ("paragraph", "10^6 m  of ~~old~~\nwater"),
        ("list_item", "- one"),
        ("list_item", "- two"),
    ]
    assert document.omissions == (("hidden passages", 1),)


def test_notes_comments_and_text_boxes_follow_their_paragraph() -> None:
    document = text(
        """<text:p>High<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>Deep.</text:p>
        </text:note-body></text:note> tide<office:annotation><dc:creator>Ana</dc:creator><text:p>When?</text:p>
        </office:annotation><draw:frame><draw:text-box><text:p>Boxed.</text:p></draw:text-box></draw:frame>.</text:p>"""
    )

    assert document.text == "High[^1] tide.\n\n[^1]: Deep.\n\nComment by Ana: When?\n\nBoxed."


def test_deleted_text_and_the_table_of_contents_are_counted() -> None:
    document = text(
        """<text:tracked-changes><text:changed-region><text:deletion><text:p>gone</text:p></text:deletion>
        </text:changed-region></text:tracked-changes><text:table-of-content><text:p>Tides 1</text:p>
        </text:table-of-content><text:p>Tides.</text:p>"""
    )

    assert document.text == "Tides."
    assert document.omissions == (("tables of contents", 1), ("tracked deletions", 1))


def test_a_table_has_its_names_and_merged_cells() -> None:
    rows = row(cell("Port"), cell("Depth")) + row(cell("Brest", 'table:number-rows-spanned="2"'), cell("12"))
    rows += row("<table:covered-table-cell/>", cell("14"))

    document = text(f"<table:table>{rows}</table:table>")

    assert block_texts(document) == [("table", "Port | Depth\nBrest | 12\nBrest | 14")]
    assert document.blocks[0].names_end == len("Port | Depth\n")


def test_a_spreadsheet_is_its_sheets_as_shown() -> None:
    empty = '<table:table-cell table:number-columns-repeated="16000"/>'
    rows = row(cell("Port"), cell("Depth"), empty) + row(cell("Brest"), cell("12 m"), empty)
    rows += row(cell("Faro"), cell("9 m"), attributes='table:visibility="collapse"')
    rows += row(empty, attributes='table:number-rows-repeated="1048000"')
    sheets = f'<table:table table:name="Ports">{rows}</table:table>'
    sheets += f'<table:table table:name="Secret" table:style-name="hid">{row(cell("x"))}</table:table>'

    document = parse(opendocument("spreadsheet", f"<office:spreadsheet>{sheets}</office:spreadsheet>"), "a.ods")

    assert block_texts(document) == [("heading", "Ports"), ("table", "Port | Depth\nBrest | 12 m")]
    assert document.omissions == (("hidden rows", 1), ("hidden sheets", 1))


def test_a_presentation_is_its_slides_in_reading_order() -> None:
    def frame(words: str, y: str, kind: str = "outline") -> str:
        box = f"<draw:text-box><text:p>{words}</text:p></draw:text-box>"
        return f'<draw:frame svg:x="1cm" svg:y="{y}" presentation:class="{kind}">{box}</draw:frame>'

    page = (
        frame("below", "9cm") + frame("above", "4.5cm") + frame("Tides", "1cm", "title") + frame("7", "20cm", "footer")
    )
    notes = f"<presentation:notes>{frame('Say when.', '1cm', 'notes')}</presentation:notes>"
    body = f"<office:presentation><draw:page>{page}{notes}</draw:page></office:presentation>"

    document = parse(opendocument("presentation", body), "a.odp")

    assert [words for _, words in block_texts(document)] == ["Tides", "above", "below", "Notes: Say when."]
    assert document.omissions == (("slide footers and numbers", 1),)


def test_a_repeated_row_is_written_as_often_as_a_reader_would_look() -> None:
    rows = row(cell("a"), cell("b")) + row(cell("1"), cell("2"), attributes='table:number-rows-repeated="1048576"')
    body = f'<office:spreadsheet><table:table table:name="S">{rows}</table:table></office:spreadsheet>'

    assert parse(opendocument("spreadsheet", body), "a.ods").text.count("1 | 2") == 1_000


def test_a_small_file_that_repeats_millions_of_cells_stays_small_and_is_counted() -> None:
    wide = '<table:table-cell table:number-columns-repeated="1500"><text:p>tide</text:p></table:table-cell>'
    rows = row(wide, attributes='table:number-rows-repeated="1000000"')
    body = f'<office:spreadsheet><table:table table:name="S">{rows}</table:table></office:spreadsheet>'

    document = parse(opendocument("spreadsheet", body), "a.ods")

    assert document.text.count("tide") == 10_000
    assert dict(document.omissions) == {"repeated cells": 500, "repeated rows": 999_990}


def test_an_encrypted_file_is_refused() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr("content.xml", bytes(range(256)))

    with pytest.raises(UnreadableDocumentError, match=r"OpenDocument file.*or encrypted"):
        parse(content.getvalue(), "a.odt")
