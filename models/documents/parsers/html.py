"""HTML pages: the main text, without menus, scripts and footers."""

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.encoding import decode, is_binary
from models.documents.html_blocks import append_element, parse_html
from models.documents.options import NoOptions
from models.documents.text import one_line

OPENINGS = (b"<!doctype html", b"<html")
OPENING_BYTES = 1024  # white space before the opening included


class HtmlParser:
    """A Parser of kind `html`."""

    config_class = NoOptions

    def __init__(self, name: str, config: NoOptions) -> None:
        """Nothing to load."""

    def recognizes(self, content: bytes) -> bool:
        return content[:OPENING_BYTES].lstrip().lower().startswith(OPENINGS) and not is_binary(content)

    def parse(self, content: bytes, filename: str) -> Document:
        """The page's main text: <main> if it has text, else <body>."""
        tree = parse_html(decode(content, filename, declares=True), filename)
        title = tree.css_first("head > title")
        for root in (tree.css_first("main, [role=main]"), tree.body):
            builder = DocumentBuilder()
            builder.title = one_line(title.text()) if title else ""
            if root is not None:
                append_element(root, builder)
            document = builder.build()
            if document.blocks:
                break
        return document
