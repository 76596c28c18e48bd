"""PDF files, read by pdfium: the lines of each page with their boxes. pdf_layout makes paragraphs of them."""

import threading

import pypdfium2
import pypdfium2.raw as pdfium
from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import Document
from models.documents.parsers.pdf_layout import Line, build_document
from models.errors import UnreadableDocumentError

# pdfium is not thread-safe, even if each thread has its own document: two threads corrupt its memory.
PDFIUM_LOCK = threading.Lock()
LINE_BREAK = "\r\n"
HYPHEN_AT_LINE_END = "\ufffe"  # pdfium replaces the hyphen and the line break by it


class PdfConfig(BaseModel):
    """An entry of kind `pdf`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_pages: int = Field(default=10_000, ge=1, le=100_000, description="A file with more pages is refused.")


class PdfParser:
    """A Parser of kind `pdf`. It reads text layers; a scan has none."""

    config_class = PdfConfig

    def __init__(self, name: str, config: PdfConfig) -> None:
        self._max_pages = config.max_pages

    def recognizes(self, content: bytes) -> bool:
        return content.startswith(b"%PDF-")

    def parse(self, content: bytes, filename: str) -> Document:
        """The text layer, in the order of the page's content, which is column by column in most files."""
        with PDFIUM_LOCK:
            title, pages = _read(content, filename, self._max_pages)
        document = build_document(title, pages)
        if not document.blocks:
            detail = f"no text layer on its {len(pages)} page(s): a scan; run OCR first, for example ocrmypdf"
            raise UnreadableDocumentError(filename, "invalid_file", detail)
        return document


def _read(content: bytes, filename: str, max_pages: int) -> tuple[str, list[list[Line]]]:
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        raise UnreadableDocumentError(filename, "invalid_file", _describe_open_error(error)) from error
    try:
        num_pages = len(document)
        if num_pages > max_pages:
            detail = f"{num_pages:,} pages; at most {max_pages:,} are allowed; split the file"
            raise UnreadableDocumentError(filename, "invalid_file", detail)
        title = document.get_metadata_value("Title")
        return title, [_read_page(document, number) for number in range(num_pages)]
    except pypdfium2.PdfiumError as error:
        detail = "a page is broken; repair the file, for example with qpdf, or export it again"
        raise UnreadableDocumentError(filename, "invalid_file", detail) from error
    finally:
        document.close()


def _describe_open_error(error: pypdfium2.PdfiumError) -> str:
    if error.err_code == pdfium.FPDF_ERR_PASSWORD:
        return "encrypted; save a copy without the password"
    return "not a PDF file or a broken one; repair it, for example with qpdf, or export it again"


def _read_page(document: pypdfium2.PdfDocument, number: int) -> list[Line]:
    page = document[number]
    try:
        text_page = page.get_textpage()
        try:
            return _lines(text_page)
        finally:
            text_page.close()
    finally:
        page.close()


def _lines(text_page: pypdfium2.PdfTextPage) -> list[Line]:
    """The page's lines. pdfium counts UTF-16 units, so an emoji counts as two."""
    lines: list[Line] = []
    position = 0
    for raw in text_page.get_text_range(errors="replace").split(LINE_BREAK):
        start = position
        for piece, hyphenated in _pieces(raw):
            length = _num_units(piece) + hyphenated
            if piece.strip():
                lines.append(_line(text_page, piece, start, hyphenated))
            start += length
        position += _num_units(raw) + len(LINE_BREAK)
    return lines


def _pieces(raw: str) -> list[tuple[str, bool]]:
    pieces = raw.split(HYPHEN_AT_LINE_END)
    return [(piece, index < len(pieces) - 1) for index, piece in enumerate(pieces)]


def _line(text_page: pypdfium2.PdfTextPage, text: str, start: int, hyphenated: bool) -> Line:
    first = start + _num_units(text[: len(text) - len(text.lstrip())])
    last = start + _num_units(text.rstrip()) - 1
    left, bottom, _, top = text_page.get_charbox(first, loose=True)
    _, last_bottom, right, last_top = text_page.get_charbox(last, loose=True)
    if last_top - last_bottom > top - bottom:  # a line that begins with a superscript is as high as its letters
        bottom, top = last_bottom, last_top
    return Line(text.strip(), left, bottom, right, top, hyphenated)


def _num_units(text: str) -> int:
    return len(text) + sum(1 for character in text if character > "\uffff")
