"""HTML to blocks, for the parsers of HTML and of formats that embed it.

Menus, scripts and footers are left out and counted. Headings, text, lists, tables and code are read.
"""

from dataclasses import dataclass, replace

from selectolax.lexbor import LexborHTMLParser, LexborNode

from models.documents.builder import DocumentBuilder
from models.documents.html_furniture import SILENT_TAGS, is_side_part, omission, opened_ids
from models.documents.html_guard import refuse_hostile_nesting
from models.documents.html_inline import PLAIN, CodeText, Format, formula, line_of, one_spaced
from models.documents.html_styles import Styles
from models.documents.html_tables import is_layout, read_table
from models.documents.html_tabs import Tabs
from models.documents.spans import Span, plain_text
from models.documents.text import one_line


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


HEADINGS = {f"h{level}": level for level in range(1, 7)}
HEADING_SELECTOR = ", ".join(HEADINGS)
BLOCK_TAGS = _words(
    "html body main article section div p ul ol li dl dt dd blockquote figure figcaption address details summary form "
    "fieldset legend table caption thead tbody tfoot tr td th hr header footer aside center pre"
)
LISTS = _words("ul ol menu")
CONTENT_TAGS = _words("main article section")


def append_html(fragment: str, builder: DocumentBuilder, filename: str) -> None:
    """Add the blocks of a piece of HTML inside another format. Raises UnreadableDocumentError if it is hostile."""
    body = parse_html(fragment, filename).body
    if body is not None:
        append_element(body, builder)


def parse_html(page: str, filename: str) -> LexborHTMLParser:
    """The element tree of a page. Raises UnreadableDocumentError if its nesting is hostile."""
    refuse_hostile_nesting(page, filename)
    return LexborHTMLParser(page)


def append_element(root: LexborNode, builder: DocumentBuilder, reads_images: bool = False) -> None:
    """Add the blocks of an element and everything in it. With `reads_images`, an image is read by its description."""
    _Walker(builder, root, reads_images).walk()


@dataclass(frozen=True)
class _Place:
    """Where a node stands: the format of its text, and what html_furniture asks about its surroundings."""

    text_format: Format = PLAIN
    is_inside_content: bool = False
    is_trusted: bool = False

    def inside(self, node: LexborNode) -> "_Place":
        text_format = self.text_format.inside(node)
        is_inside_content = self.is_inside_content or node.tag in CONTENT_TAGS
        is_trusted = self.is_trusted or is_side_part(node) or "hidden" in node.attributes
        if (text_format, is_inside_content, is_trusted) == (self.text_format, self.is_inside_content, self.is_trusted):
            return self
        return replace(self, text_format=text_format, is_inside_content=is_inside_content, is_trusted=is_trusted)


class _Walker:
    """Visits nodes in document order with its own stack: pages nest deeper than Python's recursion limit."""

    def __init__(self, builder: DocumentBuilder, root: LexborNode, reads_images: bool) -> None:
        self._builder, self._root, self._reads_images = builder, root, reads_images
        self._opened, self._tabs, self._styles = opened_ids(root), Tabs(root), Styles(root)
        self._lines: list[list[Span]] = [[]]
        self._lists: list[int | None] = []  # the next number of each open list, None in a bullet list
        self._marker = ""

    def walk(self) -> None:
        stack = [(self._root, _Place(is_inside_content=self._root.tag == "main"), True)]
        while stack:
            node, place, entering = stack.pop()
            if not entering:
                self._leave(node.tag)
            elif node.tag == "-text":
                self._lines[-1].append(place.text_format.span(one_spaced(node.text_content or "")))
            elif not self._omits(node, place):
                inside = place.inside(node)
                stack.append((node, place, False))
                stack.extend((child, inside, True) for child in reversed(self._enter(node, inside)))
        self._flush()

    def _omits(self, node: LexborNode, place: _Place = _Place(is_trusted=True)) -> bool:
        """Whether a node is left out. Counts it if it has text."""
        if node.tag in SILENT_TAGS:
            return True
        name = omission(node, self._opened, self._styles, place.is_inside_content, place.is_trusted)
        if name and (node.text(deep=True) or "").strip():
            self._builder.omit(name)
        return bool(name)

    def _enter(self, node: LexborNode, place: _Place) -> list[LexborNode]:
        """Process the node itself. Returns the children to visit."""
        tag = node.tag
        if tag in BLOCK_TAGS or tag in HEADINGS or tag == "button":
            self._flush()
        if tag == "br":
            self._lines.append([])
        elif tag == "img":
            description = node.attributes.get("alt") if self._reads_images else ""
            self._lines[-1].append(place.text_format.span(one_spaced(description or "")))
        elif tag == "math":
            self._lines[-1].extend(formula(node))
        elif tag in HEADINGS:
            self._builder.add("heading", line_of(node, self._omits, place.text_format), HEADINGS[tag])
        elif tag == "pre" or (tag == "code" and node.css_first("br, div, p, li") is not None):
            self._flush()
            self._builder.add("code", CodeText(self._omits).read(node))
        elif tag == "table" and not is_layout(node):
            self._add_table(node, place)
        elif tag == "header" and not place.is_inside_content:
            return self._headings_of(node)
        else:
            return self._children(node)
        return []

    def _children(self, node: LexborNode) -> list[LexborNode]:
        role = node.attributes.get("role")
        if role == "tab" and self._tabs.stands_at_panel(node):
            return []
        if role == "tabpanel" and (label := self._tabs.label(node)):
            self._flush()
            self._builder.add("paragraph", label)
        self._open_list(node)
        return list(node.iter(include_text=True))

    def _headings_of(self, header: LexborNode) -> list[LexborNode]:
        """The headings of a page's header: the rest is its logo and menu."""
        headings = header.css(HEADING_SELECTOR)
        if not headings and (header.text(deep=True) or "").strip():
            self._builder.omit("page headers and footers")
        return headings

    def _open_list(self, node: LexborNode) -> None:
        if node.tag in LISTS:
            start = node.attributes.get("start") or "1"
            self._lists.append(None if node.tag != "ol" else int(start) if start.isdecimal() and len(start) < 10 else 1)
        elif node.tag == "li":
            number = self._lists[-1] if self._lists else None
            self._marker = "- " if number is None else f"{number}. "
            if number is not None:
                self._lists[-1] = number + 1

    def _leave(self, tag: str | None) -> None:
        if tag in BLOCK_TAGS or tag == "button":
            self._flush()
        if tag in LISTS and self._lists:
            self._lists.pop()
        elif tag == "li":
            self._marker = ""

    def _flush(self) -> None:
        """End the current paragraph or list item."""
        lines = [one_line(plain_text(spans)) for spans in self._lines]
        self._lines = [[]]
        text = "\n".join(filter(None, lines))
        if text and self._marker:
            self._builder.add("list_item", self._marker + text, indent=2 * max(0, len(self._lists) - 1))
            self._marker = ""
        elif text:
            self._builder.add("paragraph", text)

    def _add_table(self, table: LexborNode, place: _Place) -> None:
        for child in table.iter():
            if child.tag == "caption":
                self._builder.add("paragraph", line_of(child, self._omits))
        self._builder.add_table(read_table(table, self._omits, place.text_format))
