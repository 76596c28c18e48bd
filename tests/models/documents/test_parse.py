"""What every format promises, and which parser a file gets."""

import pytest
from document_checks import assert_well_formed
from document_files import make_docx, make_pdf, text_at

from models.catalog import Catalog
from models.documents.parse import parse
from models.errors.requests import UnreadableDocumentError

SENTENCE = "Vacation is granted by the manager."
PDF = make_pdf([text_at(72, 700, SENTENCE)])
FILES = {
    "a.md": f"# Leave\n\n{SENTENCE}\n".encode(),
    "a.html": f"<title>Leave</title><h1>Leave</h1><p>{SENTENCE}</p>".encode(),
    "a.txt": f"Leave\n=====\n\n{SENTENCE}\n".encode(),
    "a.csv": b"grade,days\nA,30\n",
    "a.log": b"12:00 started\n\n12:01 ready\n",
    "a.pdf": PDF,
    "a.docx": make_docx(),
}


@pytest.mark.parametrize("filename", FILES)
def test_every_format_gives_a_well_formed_document(filename: str) -> None:
    document = parse(FILES[filename], filename)

    assert_well_formed(document)
    assert document.blocks


def test_the_extensions_of_documents_are_supported() -> None:
    texts = {".md", ".markdown", ".html", ".htm", ".txt", ".rst", ".text", ".log", ".csv", ".tsv", ".rtf", ".epub"}
    office = {".pdf", ".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".eml", ".mbox", ".zip", ".tar", ".tgz", ".gz"}
    records = {".json", ".jsonl", ".xml", ".ipynb", ".py", ".java", ".go", ".rs", ".c", ".cpp", ".ts", ".sql"}

    assert texts | office | records <= set(Catalog.open().extensions())


@pytest.mark.parametrize(
    ("twin", "filename"),
    [("a.pdf", "upload"), ("a.docx", "upload.bin"), ("a.html", "page.aspx"), ("a.txt", "notes"), ("a.md", "A.MD")],
)
def test_content_decides_where_the_extension_says_nothing(twin: str, filename: str) -> None:
    content = FILES[twin] if twin != "a.html" else b"\n<!DOCTYPE html>" + FILES[twin]

    document = parse(content, filename)

    assert document.text == parse(content, twin).text


def test_binary_content_of_unknown_extension_is_unsupported() -> None:
    gif = b"GIF89a\x01\x00\x01\x00\x80\x00\x00"

    with pytest.raises(UnreadableDocumentError, match="supported are") as caught:
        parse(gif, "photo.gif")

    assert caught.value.reason == "unsupported_file"


@pytest.mark.parametrize(
    ("content", "filename", "detail"),
    [
        (b"", "empty.md", "no text"),
        (b" \n\t\n", "blank.txt", "no text"),
        (b"<html><body><script>app()</script></body></html>", "app.html", "scripts"),
        (b"\x00\x01\x02" * 50, "binary.txt", "binary"),
        (b"no pdf at all", "a.pdf", "not a PDF"),
        (PDF[:200], "cut.pdf", "broken"),
        (make_pdf([text_at(72, 700, SENTENCE)], encrypted=True), "locked.pdf", "password"),
        (make_pdf([""]), "scan.pdf", "OCR"),
        (b"no zip at all", "a.docx", "not a file of Word"),
        (make_docx()[:3000], "cut.docx", "cut short"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "locked.docx", "password"),
    ],
)
def test_unreadable_content_is_an_invalid_file_and_the_detail_says_why(
    content: bytes, filename: str, detail: str
) -> None:
    with pytest.raises(UnreadableDocumentError, match=detail) as caught:
        parse(content, filename)

    assert (caught.value.filename, caught.value.reason) == (filename, "invalid_file")


@pytest.mark.parametrize("filename", ["a.md", "a.txt", "a.html", "a.csv"])
def test_text_is_normalised(filename: str) -> None:
    content = "Cafe\u0301\r\nsoft\u00adhyphen\x00\x07 end\u2028next".replace("\x00", "").encode()

    document = parse(content, filename)

    assert_well_formed(document)
    assert "Café" in document.text
    assert "softhyphen end" in document.text


def test_long_runs_of_combining_marks_are_cut() -> None:
    content = ("a" + "\u0301\u0316" * 5_000).encode()

    document = parse(content, "zalgo.txt")

    assert_well_formed(document)
    assert len(document.text) < 40
