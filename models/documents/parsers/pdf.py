"""PDF files, read by pdfium: the lines of each page with their boxes. pdf_layout makes paragraphs of them."""

import threading
from collections import Counter

import pypdfium2
import pypdfium2.raw as pdfium
from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import Document
from models.documents.parsers.pdf_layout import build_document
from models.documents.pdf.annotations import read_annotations, with_annotations
from models.documents.pdf.line import Line
from models.documents.pdf.page_text import read_lines
from models.errors import UnreadableDocumentError

# pdfium is not thread-safe, even if each thread has its own document: two threads corrupt its memory.
PDFIUM_LOCK = threading.Lock()


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
            title, pages, omitted = _read(content, filename, self._max_pages)
        document = build_document(title, pages, omitted)
        if not document.blocks:
            detail = f"no text layer on its {len(pages)} page(s): a scan; run OCR first, for example ocrmypdf"
            raise UnreadableDocumentError(filename, "invalid_file", detail)
        return document


def _read(content: bytes, filename: str, max_pages: int) -> tuple[str, list[list[Line]], Counter[str]]:
    """The title, the lines of each page, and what was left out of them."""
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        raise UnreadableDocumentError(filename, "invalid_file", _describe_open_error(error)) from error
    try:
        document.init_forms()  # before any page: else fields have no values
        num_pages = len(document)
        if num_pages > max_pages:
            detail = f"{num_pages:,} pages; at most {max_pages:,} are allowed; split the file"
            raise UnreadableDocumentError(filename, "invalid_file", detail)
        omitted: Counter[str] = Counter()
        pages = [_read_page(document, number, omitted) for number in range(num_pages)]
        return document.get_metadata_value("Title"), pages, omitted
    except pypdfium2.PdfiumError as error:
        detail = "a page is broken; repair the file, for example with qpdf, or export it again"
        raise UnreadableDocumentError(filename, "invalid_file", detail) from error
    finally:
        document.close()


def _describe_open_error(error: pypdfium2.PdfiumError) -> str:
    if error.err_code == pdfium.FPDF_ERR_PASSWORD:
        return "encrypted; save a copy without the password"
    return "not a PDF file or a broken one; repair it, for example with qpdf, or export it again"


def _read_page(document: pypdfium2.PdfDocument, number: int, omitted: Counter[str]) -> list[Line]:
    page = document[number]
    try:
        annotations = read_annotations(document, page)
        omitted.update(annotations.omitted)
        return with_annotations(read_lines(page, omitted), annotations.lines)
    finally:
        page.close()
