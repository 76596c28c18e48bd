"""A file to its text: which parser reads it is decided by its extension, and by its content where that says nothing."""

from pathlib import PurePath

from models.documents import docx, html, markdown, pdf, plain_text
from models.documents.base import Document, Parser
from models.documents.encoding import is_binary
from models.errors import UnreadableDocumentError

PARSERS: dict[str, Parser] = {
    **dict.fromkeys([".md", ".markdown"], markdown.parse),
    **dict.fromkeys([".html", ".htm"], html.parse),
    **dict.fromkeys([".txt", ".text", ".rst", ".log", ".csv"], plain_text.parse),
    ".pdf": pdf.parse,
    ".docx": docx.parse,
}
SUPPORTED_EXTENSIONS = tuple(sorted(PARSERS))
HTML_OPENINGS = (b"<!doctype html", b"<html")


def parse(content: bytes, filename: str) -> Document:
    """The document in a file. An unknown extension is no hindrance if the content is text, HTML, PDF or Word.

    Raises UnreadableDocumentError with reason unsupported_file where no parser fits, and invalid_file where the file
    is broken, encrypted or without any text.
    """
    parser = PARSERS.get(PurePath(filename).suffix.lower()) or _sniff(content, filename)
    document = parser(content, filename)
    if not document.blocks:
        detail = "no text in it; upload a file with text (a web page filled in by scripts must be saved from a browser)"
        raise UnreadableDocumentError(filename, "invalid_file", detail)
    return document


def _sniff(content: bytes, filename: str) -> Parser:
    if content.startswith(b"%PDF-"):
        return pdf.parse
    if content.startswith(b"PK\x03\x04") and docx.is_docx(content):
        return docx.parse
    if is_binary(content):
        detail = f"not a text file and of no known format; supported are {', '.join(SUPPORTED_EXTENSIONS)}"
        raise UnreadableDocumentError(filename, "unsupported_file", detail)
    return html.parse if content[:1024].lstrip().lower().startswith(HTML_OPENINGS) else plain_text.parse
