"""From a file to its text. The extension chooses the parser, or the content where no parser has the extension."""

from models.documents.base import Document
from models.documents.kinds import DocumentKinds, built_in_kinds
from models.documents.text import is_visible
from models.errors import UnreadableDocumentError


def parse(content: bytes, filename: str, kinds: DocumentKinds | None = None) -> Document:
    """The document in a file, read by a parser of `kinds`, or of the built-in catalog.

    A file with an unknown extension is read if its content is text, HTML, PDF or Word. Raises UnreadableDocumentError
    with reason unsupported_file if no parser fits, and invalid_file if the file is broken, encrypted or without text.
    """
    parser = (kinds or built_in_kinds()).parser_for(content, filename)
    document = parser.parse(content, filename)
    if not document.blocks or not is_visible(document.text):
        detail = "no text in it; upload a file with text (a web page filled in by scripts must be saved from a browser)"
        raise UnreadableDocumentError(filename, "invalid_file", detail)
    return document
