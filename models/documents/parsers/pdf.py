"""PDF files, read by pdfium: the lines of each page with their boxes. pdf_layout makes paragraphs of them."""

import threading
from dataclasses import replace

import pypdfium2
import pypdfium2.raw as pdfium
from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import Document
from models.documents.ocr.config import OcrConfig
from models.documents.ocr.scan import Scan
from models.documents.parsers.pdf_layout import build_document
from models.documents.pdf.annotations import read_annotations, with_annotations
from models.documents.pdf.forms import refuse_forms_without_end
from models.documents.pdf.line import Line
from models.documents.pdf.page_text import read_lines
from models.documents.pdf.scans import read_scan
from models.documents.signatures import PDF, signature_of
from models.errors.requests import UnreadableDocumentError

# pdfium is not thread-safe, even if each thread has its own document: two threads corrupt its memory.
PDFIUM_LOCK = threading.Lock()


class PdfConfig(BaseModel):
    """An entry of kind `pdf`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_pages: int = Field(default=10_000, ge=1, le=100_000, description="A file with more pages is refused.")
    ocr: OcrConfig = OcrConfig()


class PdfParser:
    """A Parser of kind `pdf`. It reads text layers, and recognizes the text of scanned pages."""

    config_class = PdfConfig

    def __init__(self, name: str, config: PdfConfig) -> None:
        self._config = config

    def recognizes(self, content: bytes) -> bool:
        return signature_of(content) is PDF

    def parse(self, content: bytes, filename: str) -> Document:
        """The text layer, in the order of the page's content, which is column by column in most files."""
        refuse_forms_without_end(content, filename)
        scan = Scan(self._config.ocr)
        with PDFIUM_LOCK:
            title, pages = _read(content, filename, self._config.max_pages, scan)
        document = build_document(title, pages, scan.omitted)
        if not document.blocks:
            raise UnreadableDocumentError(filename, "invalid_file", _explain_no_text(len(pages), scan))
        return replace(document, doubt=scan.doubt)


def _read(content: bytes, filename: str, max_pages: int, scan: Scan) -> tuple[str, list[list[Line]]]:
    """The title, and the lines of each page. `scan.omitted` gets what was left out of them."""
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
        pages = [_read_page(document, number, scan) for number in range(num_pages)]
        return document.get_metadata_value("Title"), pages
    except pypdfium2.PdfiumError as error:
        detail = "a page is broken; repair the file, for example with qpdf, or export it again"
        raise UnreadableDocumentError(filename, "invalid_file", detail) from error
    finally:
        document.close()


def _describe_open_error(error: pypdfium2.PdfiumError) -> str:
    if error.err_code == pdfium.FPDF_ERR_PASSWORD:
        return "encrypted; save a copy without the password"
    return "not a PDF file or a broken one; repair it, for example with qpdf, or export it again"


def _explain_no_text(num_pages: int, scan: Scan) -> str:
    if scan.config.problem:
        return f"no text layer on its {num_pages} page(s): a scan; {scan.config.problem}"
    return f"no text on its {num_pages} page(s), and recognition (OCR) finds none in them"


def _read_page(document: pypdfium2.PdfDocument, number: int, scan: Scan) -> list[Line]:
    page = document[number]
    try:
        annotations = read_annotations(document, page)
        scan.omitted.update(annotations.omitted)
        lines = read_lines(page, scan.omitted)
        if not scan.config.problem:
            lines = read_scan(page, lines, scan)
        return with_annotations(lines, annotations.lines)
    finally:
        page.close()
