"""EPUB books and RTF files."""

import io
import zipfile

import pytest
from document_checks import assert_well_formed, block_texts

from models.documents.parse import parse
from models.errors.requests import UnreadableDocumentError

CONTAINER = '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
OPF = """<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>The Sea</dc:title></metadata>
<manifest>
<item id="c2" href="two%20b.xhtml" media-type="application/xhtml+xml"/><item id="c1" href="one.xhtml"
 media-type="application/xhtml+xml"/><item id="nav" href="nav.xhtml" properties="nav"
 media-type="application/xhtml+xml"/><item id="gone" href="gone.xhtml" media-type="application/xhtml+xml"/></manifest>
<spine><itemref idref="c1"/><itemref idref="c2"/><itemref idref="gone"/></spine></package>"""
NAV = '<html xmlns="http://www.w3.org/1999/xhtml"><nav><a href="two%20b.xhtml#x">Second <i>tide</i></a></nav></html>'


def book(parts: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        for name, part in parts.items():
            archive.writestr(name, part)
    return content.getvalue()


@pytest.mark.parametrize("filename", ["a.epub", "a.zip", "upload"])
def test_a_book_is_its_chapters_in_the_order_of_the_spine(filename: str) -> None:
    content = book(
        {
            "META-INF/container.xml": CONTAINER,
            "OEBPS/book.opf": OPF,
            "OEBPS/nav.xhtml": NAV,
            "OEBPS/two b.xhtml": "<html><body><p>It ebbs.</p></body></html>",
            "OEBPS/one.xhtml": "<?xml version='1.0'?><html><body><h1>One</h1><p>It <b>rises</b>.</p></body></html>",
        }
    )

    document = parse(content, filename)

    assert_well_formed(document)
    assert document.title == "The Sea"
    assert block_texts(document) == [
        ("heading", "One"),
        ("paragraph", "It rises."),
        ("heading", "Second tide"),
        ("paragraph", "It ebbs."),
    ]
    assert document.omissions == (("encrypted or broken chapters", 1),)


def test_a_book_without_a_list_of_parts_is_refused() -> None:
    with pytest.raises(UnreadableDocumentError, match="not a readable EPUB book"):
        parse(book({"META-INF/container.xml": "<container/>"}), "a.epub")


RTF = rb"""{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fnil\fcharset0 Calibri;}{\f1\fnil\fcharset204 Arial;}}
{\colortbl;\red0\green0\blue0;}{\*\generator Riched20;}{\info{\title The Sea}{\author X}}
\pard\outlinelevel0\b Tides\b0\par
\pard Caf\'e9 \u8364?5, {\v hidden}10{\super 6} {\strike old} new \f1\'cf\'f0\'e8\f0 .\par
{\pntext\f0\'b7\tab}Item one\par
\trowd\cellx100\cellx200\pard\intbl Port\cell Depth\cell\row\trowd\pard\intbl Brest\cell 12\cell\row\pard
After {\field{\*\fldinst HYPERLINK "http://x"}{\fldrslt the link}}{\pict\pngblip 89504e47}\u55357?\u56832?.\par
{\*\unknown secret}{\object{\*\objdata 0102}}}"""


@pytest.mark.parametrize("filename", ["a.rtf", "a.doc", "a.txt", "upload"])
def test_rtf_is_read_without_its_control_words(filename: str) -> None:
    document = parse(RTF, filename)

    assert_well_formed(document)
    assert document.title == "The Sea"
    assert block_texts(document) == [
        ("heading", "Tides"),
        ("paragraph", "Café €5, 10^6 ~~old~~ new При."),
        ("list_item", "- Item one"),
        ("table", "Port | Depth\nBrest | 12"),
        ("paragraph", "After the link\U0001f600."),
    ]
    assert document.omissions == (("hidden passages", 1), ("pictures", 2))


def test_rtf_that_ends_too_early_keeps_its_text() -> None:
    assert parse(b"{\\rtf1 {\\b The tide", "a.rtf").text == "The tide"


def test_embedded_bytes_of_rtf_are_no_text() -> None:
    assert parse(b"{\\rtf1 a{\\pict\\bin5 }}}}}}b}", "a.rtf").text == "ab"
    assert parse(b"{\\rtf1 a{\\pict\\bin999999999 x}b}", "a.rtf").text == "ab"


def test_other_text_with_the_name_of_rtf_is_refused() -> None:
    with pytest.raises(UnreadableDocumentError, match="not an RTF file"):
        parse(b"plain", "a.rtf")
