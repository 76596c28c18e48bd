"""HTML pages: the main text, without menus, scripts and footers."""

from selectolax.lexbor import LexborHTMLParser, LexborNode

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.encoding import decode
from models.documents.html_blocks import append_element, parse_html
from models.documents.html_furniture import SILENT_TAGS
from models.documents.options import NoOptions
from models.documents.signatures import HTML, signature_of
from models.documents.text import one_line

AROUND_MAIN = SILENT_TAGS | {"nav", "header", "footer", "main"}
MAX_MAINS = 200  # HTML allows one; pages with tabs have some


class HtmlParser:
    """A Parser of kind `html`."""

    config_class = NoOptions

    def __init__(self, name: str, config: NoOptions) -> None:
        """Nothing to load."""

    def recognizes(self, content: bytes) -> bool:
        return signature_of(content) is HTML

    def parse(self, content: bytes, filename: str) -> Document:
        """The page's main text: its <main> elements if they have text, else <body>."""
        decoded = decode(content, filename, declares=True)
        tree = parse_html(decoded.text, filename)
        title = tree.css_first("head > title")
        mains = _mains(tree)
        for roots in (mains, [tree.body]):
            builder = DocumentBuilder()
            builder.omit("passages outside the main part", _num_passages_outside(mains) if roots is mains else 0)
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


def _num_passages_outside(mains: list[LexborNode]) -> int:
    """The elements beside the first main element and its ancestors that have text and are no menus."""
    num_passages = 0
    inner = mains[0] if mains else None
    while inner is not None and inner.tag != "body" and inner.parent is not None:
        for sibling in inner.parent.iter():
            is_passage = sibling.mem_id != inner.mem_id and sibling.tag not in AROUND_MAIN
            if is_passage and sibling.css_first("main, [role=main]") is None:
                num_passages += bool((sibling.text(deep=True) or "").strip())
        inner = inner.parent
    return num_passages


def _is_inside(element: LexborNode, outer: LexborNode) -> bool:
    parent = element.parent
    while parent is not None and parent.mem_id != outer.mem_id:
        parent = parent.parent
    return parent is not None
