"""HTML to blocks, for the parsers of HTML and of formats that embed it.

Menus, scripts and footers are dropped. Headings, text, lists, tables and code are kept.
"""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from models.documents.builder import DocumentBuilder
from models.documents.text import one_line
from models.errors import UnreadableDocumentError


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


HEADINGS = {f"h{level}": level for level in range(1, 7)}
DROPPED_TAGS = _words(
    "-comment script style noscript template svg math iframe object nav footer aside button select textarea dialog"
)
DROPPED_ROLES = _words("navigation banner contentinfo search complementary menu toolbar")
# Wikipedia's edit links and navigation boxes, Sphinx's and MkDocs' paragraph marks, tables of contents.
DROPPED_CLASSES = _words("mw-editsection navbox catlinks mw-jump-link headerlink toc printfooter")
BLOCK_TAGS = _words(
    "html body main article section div p ul ol li dl dt dd blockquote figure figcaption address details summary form "
    "fieldset legend table caption thead tbody tfoot tr td th hr header center pre"
)
LISTS = _words("ul ol menu")
ROW_GROUPS = _words("thead tbody tfoot")

# Tags that HTML closes by itself: many open ones do not add depth.
SELF_CLOSING = _words(
    "p li dt dd tr td th thead tbody tfoot option optgroup colgroup html head body "
    "br hr img input meta link col area base embed source track wbr param"
)
FORMATTING = _words("a b big code em font i nobr s small strike strong tt u")
MAX_DEPTH = 2_000  # lexbor is quadratic in depth: 100,000 open <div> took 10 s, 2,000 take 5 ms
MAX_REOPENED = 1_000_000  # unclosed formatting is opened again in each block: nodes = open tags x blocks
TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,15})")


def append_html(fragment: str, builder: DocumentBuilder, filename: str) -> None:
    """Add the blocks of a piece of HTML inside another format. Raises UnreadableDocumentError if it is hostile."""
    body = parse_html(fragment, filename).body
    if body is not None:
        append_element(body, builder)


def parse_html(page: str, filename: str) -> LexborHTMLParser:
    """The element tree of a page. Raises UnreadableDocumentError if its nesting is hostile."""
    _refuse_hostile_nesting(page, filename)
    return LexborHTMLParser(page)


def append_element(root: LexborNode, builder: DocumentBuilder) -> None:
    """Add the blocks of an element and everything in it."""
    _Walker(builder).walk(root)


def _refuse_hostile_nesting(page: str, filename: str) -> None:
    """Raises UnreadableDocumentError if building the page's tree would take minutes or gigabytes."""
    depth = num_formatting = num_blocks = 0
    inside = ""  # the open <script> or <style>: its content is not markup
    for match in TAG.finditer(page):
        closing, tag = bool(match.group(1)), match.group(2).lower()
        if inside or tag in ("script", "style"):
            inside = "" if closing and tag == (inside or tag) else inside or tag
            continue
        step = -1 if closing else 1
        if tag in FORMATTING:
            num_formatting = max(0, num_formatting + step)
        elif tag not in SELF_CLOSING:
            depth = max(0, depth + step)
        num_blocks += tag not in FORMATTING
        if depth > MAX_DEPTH or num_formatting > MAX_DEPTH or num_formatting * num_blocks > MAX_REOPENED:
            detail = "elements are nested too deeply or never closed; save the page as plain text or Markdown"
            raise UnreadableDocumentError(filename, "invalid_file", detail)


class _Walker:
    """Visits nodes in document order with its own stack: pages nest deeper than Python's recursion limit."""

    def __init__(self, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._inline: list[str] = []
        self._lists: list[int | None] = []  # the next number of each open list, None in a bullet list
        self._marker = ""

    def walk(self, root: LexborNode) -> None:
        stack = [(root, True)]
        while stack:
            node, entering = stack.pop()
            if not entering:
                self._leave(node.tag)
            elif not _is_furniture(node):
                stack.append((node, False))
                stack.extend((child, True) for child in reversed(self._enter(node)))
        self._flush()

    def _enter(self, node: LexborNode) -> list[LexborNode]:
        """Process the node itself. Returns the children to visit."""
        tag = node.tag
        if tag == "-text" or tag == "br":
            self._inline.append("\n" if tag == "br" else re.sub(r"\s+", " ", node.text_content or ""))
            return []
        if tag in BLOCK_TAGS or tag in HEADINGS:
            self._flush()
        if tag in HEADINGS:
            self._builder.add("heading", one_line(_flat_text(node)), HEADINGS[tag])
        elif tag == "pre":
            self._builder.add("code", node.text(deep=True))
        elif tag == "table" and not _is_layout(node):
            self._add_table(node)
        elif tag == "header":
            return node.css("h1, h2, h3, h4, h5, h6")
        else:
            self._open_list(node)
            return list(node.iter(include_text=True))
        return []

    def _open_list(self, node: LexborNode) -> None:
        if node.tag in LISTS:
            start = node.attributes.get("start") or "1"
            self._lists.append(None if node.tag != "ol" else int(start) if start.isdecimal() and len(start) < 7 else 1)
        elif node.tag == "li":
            number = self._lists[-1] if self._lists else None
            self._marker = "- " if number is None else f"{number}. "
            if number is not None:
                self._lists[-1] = number + 1

    def _leave(self, tag: str | None) -> None:
        if tag in BLOCK_TAGS:
            self._flush()
        if tag in LISTS and self._lists:
            self._lists.pop()
        elif tag == "li":
            self._marker = ""

    def _flush(self) -> None:
        """End the current paragraph or list item."""
        lines = "".join(self._inline).split("\n")
        self._inline.clear()
        text = "\n".join(filter(None, map(one_line, lines)))
        if text and self._marker:
            self._builder.add("list_item", self._marker + text, indent=2 * max(0, len(self._lists) - 1))
            self._marker = ""
        elif text:
            self._builder.add("paragraph", text)

    def _add_table(self, table: LexborNode) -> None:
        for child in table.iter():
            if child.tag == "caption":
                self._builder.add("paragraph", one_line(_flat_text(child)))
        lines = [" | ".join(one_line(_flat_text(cell)) for cell in _cells(row)).rstrip(" |") for row in _rows(table)]
        self._builder.add("table", "\n".join(filter(None, lines)))


def _is_furniture(node: LexborNode) -> bool:
    if node.tag == "-text":
        return False
    if node.tag in DROPPED_TAGS:
        return True
    attributes = node.attributes
    classes = (attributes.get("class") or "").split()
    style = (attributes.get("style") or "").replace(" ", "").lower()
    # Wikipedia's "[12]" would look like one of our citations.
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or attributes.get("role") in DROPPED_ROLES
        or "display:none" in style
        or not DROPPED_CLASSES.isdisjoint(classes)
        or (node.tag == "sup" and "reference" in classes)
    )


def _flat_text(root: LexborNode) -> str:
    """All text under a node without furniture, with a space before each block and line."""
    parts: list[str] = []
    stack = [root]
    while stack:
        node = stack.pop()
        if node.tag == "-text":
            parts.append(node.text_content or "")
        elif node is root or not _is_furniture(node):
            parts.append(" " if node.tag in BLOCK_TAGS or node.tag == "br" else "")
            stack.extend(reversed(list(node.iter(include_text=True))))
    return "".join(parts)


def _is_layout(table: LexborNode) -> bool:
    """Whether a table is for layout: by its role, or because it has headings, code or a single cell."""
    if table.attributes.get("role") in ("presentation", "none"):
        return True
    return (
        table.css_first("h1, h2, h3, h4, h5, h6, pre") is not None
        or sum(1 for row in _rows(table) for _ in _cells(row)) < 2
    )


def _rows(table: LexborNode) -> Iterator[LexborNode]:
    for child in table.iter():
        if child.tag == "tr":
            yield child
        elif child.tag in ROW_GROUPS:
            yield from (row for row in child.iter() if row.tag == "tr")


def _cells(row: LexborNode) -> Iterator[LexborNode]:
    return (cell for cell in row.iter() if cell.tag in ("td", "th") and not _is_furniture(cell))
