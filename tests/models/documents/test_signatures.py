"""What a file is by its content, and what is refused at upload."""

from pathlib import Path

import pytest
from document_files import make_docx, make_pdf, text_at

from models.catalog import Catalog
from models.documents.parse import parse
from models.documents.readable import check_readable
from models.documents.signatures import HTML, MAIL, NOTEBOOK, OLE, PDF, RTF, ZIP, Signature, signature_of
from models.errors.requests import UnreadableDocumentError

SENTENCE = "The tide turns at six."
CATALOG = Catalog.open()
UNREADABLE = {
    "a GIF image": b"GIF89a\1\0\1\0",
    "an executable program": b"\x7fELF\x02\x01\x01\0",
    "an audio file": b"RIFF\x24\0\0\0WAVEfmt ",
    "a video, audio file or HEIF image": b"\0\0\0\x18ftypmp42",
    "a 7z archive": b"7z\xbc\xaf'\x1c\0\4",
    "an SQLite database": b"SQLite format 3\0\x10\0",
    "a PostScript file": b"%!PS-Adobe-3.0\n/Times-Roman findfont",
    "a file of Office before 2007": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500,
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("filename", ["upload", "notes.txt", "photo.png", "a.md"])
def test_what_no_parser_reads_is_refused_at_upload_whatever_its_name(name: str, filename: str) -> None:
    with pytest.raises(UnreadableDocumentError, match=f"{name}.*supported are .*pdf") as caught:
        check_readable(UNREADABLE[name], filename, CATALOG)

    assert caught.value.reason == "unsupported_file"


@pytest.mark.parametrize("filename", ["data", "data.bin", "data.txt", "data.html"])
def test_binary_content_of_no_format_is_refused_at_upload(filename: str) -> None:
    with pytest.raises(UnreadableDocumentError, match="binary"):
        check_readable(bytes(range(32)) * 50, filename, CATALOG)


@pytest.mark.parametrize(
    ("content", "signature"),
    [
        (make_docx(), ZIP),
        (make_pdf([text_at(72, 700, SENTENCE)]), PDF),
        (b"{\\rtf1\\ansi Hello}", RTF),
        (b"\xef\xbb\xbf\n{\\rtf1 Hello}", RTF),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
        (b"<?xml version='1.0'?>\n<!-- a --><!DOCTYPE html PUBLIC '-'>", HTML),
        (b"Received: by mx\r\n\tfor me\r\nFrom: a@b.c\r\nSubject: x\r\n\r\nHi", MAIL),
        (b'{"cells": [], "metadata": {}, "nbformat": 4}', NOTEBOOK),
    ],
)
def test_formats_are_told_by_content(content: bytes, signature: Signature) -> None:
    assert signature_of(content) is signature
    assert signature.unreadable == (signature is OLE)


@pytest.mark.parametrize(
    "text",
    [
        "BM and MZ are the first letters of programs and bitmaps.",
        "ID3 tags name a song.",
        "PAR1 is the mark of Parquet.",
        "From: the harbour\nTo: the sea\n\nA letter, not a mail.",
        "Subject: tides\nThe MIME-Version: header is not at a line's beginning here.",
        '# Notebooks\n\nEach has a `"nbformat"` and `"cells"`.',
        "<!-- a --> " * 300 + "a text of comments",
        "true\nfalse\n",
        "Größe, naïve, 潮 and \U0001f30a.",
    ],
)
def test_texts_are_texts(text: str) -> None:
    for encoding in ("utf-8", "utf-16"):
        assert signature_of(text.encode(encoding)) is None
        check_readable(text.encode(encoding), "a.txt", CATALOG)


@pytest.mark.parametrize("filename", ["a.txt", "a.md", "a.html", "a.csv", "upload"])
def test_content_decides_against_the_extension(filename: str) -> None:
    assert SENTENCE in parse(make_pdf([text_at(72, 700, SENTENCE)]), filename).text
    assert parse(make_docx(), filename) == parse(make_docx(), "a.docx")


@pytest.mark.parametrize("filename", ["a.pdf", "a.txt", "a"])
def test_a_gif_with_any_name_is_unsupported(filename: str) -> None:
    with pytest.raises(UnreadableDocumentError, match="a GIF image") as caught:
        parse(UNREADABLE["a GIF image"], filename)

    assert caught.value.reason == "unsupported_file"


def test_a_catalog_with_an_own_parser_may_read_anything(tmp_path: Path) -> None:
    (tmp_path / "catalog.yaml").write_text("parsing:\n  photo: {kind: 'my_photos:Reader', extensions: [.png]}\n")

    check_readable(UNREADABLE["a GIF image"], "a.png", Catalog.open(tmp_path / "catalog.yaml"))
