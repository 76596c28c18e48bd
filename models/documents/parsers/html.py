"""HTML pages: the main text, without menus, scripts and footers."""

from selectolax.lexbor import LexborHTMLParser, LexborNode

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.encoding import decode, is_binary
from models.documents.html_blocks import append_element, parse_html
from models.documents.options import NoOptions
from models.documents.text import one_line

OPENINGS = (b"<!doctype html", b"<html")
OPENING_BYTES = 1024  # white space before the opening included
MAX_MAINS = 200  # HTML allows one; pages with tabs have some


class HtmlParser:
    """A Parser of kind `html`."""

    config_class = NoOptions

    def __init__(self, name: str, config: NoOptions) -> None:
        """Nothing to load."""

    def recognizes(self, content: bytes) -> bool:
        return content[:OPENING_BYTES].lstrip().lower().startswith(OPENINGS) and not is_binary(content)

    def parse(self, content: bytes, filename: str) -> Document:
        """The page's main text: its <main> elements if they have text, else <body>."""
        decoded = decode(content, filename, declares=True)
        tree = parse_html(decoded.text, filename)
        title = tree.css_first("head > title")
        for roots in (_mains(tree), [tree.body]):
            builder = DocumentBuilder()
            builder.title = one_line(title.text()) if title else ""
            builder.doubt = decoded.doubt
            for root in filter(None, roots):
                append_element(root, builder)
            document = builder.build()
            if document.blocks:
                break
        return document


def _mains(tree: LexborHTMLParser) -> list[LexborNode]:
    """The main elements of a page, without those inside another."""
    mains: list[LexborNode] = []
    for element in tree.css("main, [role=main]")[:MAX_MAINS]:
        if not any(_is_inside(element, main) for main in mains[-1:]):
            mains.append(element)
    return mains


def _is_inside(element: LexborNode, outer: LexborNode) -> bool:
    parent = element.parent
    while parent is not None and parent.mem_id != outer.mem_id:
        parent = parent.parent
    return parent is not None
