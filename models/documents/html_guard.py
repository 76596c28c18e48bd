"""Refuses pages whose element tree would take minutes or gigabytes to build.

lexbor is quadratic in depth. The guard walks the tags once, in linear time, and keeps the open elements as a browser
does. What is no markup (comments, scripts, attribute values) opens and closes nothing. Where the standard makes it
hard to tell, it counts too many open elements rather than too few.
"""

import re
from collections.abc import Iterator

from models.errors.requests import UnreadableDocumentError


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Tags that HTML closes by itself: many open ones do not add depth.
SELF_CLOSING = _words(
    "p li dt dd option optgroup colgroup html head body "
    "br hr img input meta link col area base embed source track wbr param"
)
FORMATTING = _words("a b big code em font i nobr s small strike strong tt u")
# An element that is not one of these is closed only if none of these is open inside it.
SPECIAL = _words(
    "address applet article aside blockquote button caption center details dir div dl fieldset figcaption figure "
    "footer form frameset header hgroup iframe listing main marquee menu nav noembed noframes noscript object ol "
    "plaintext pre script search section select style summary table tbody td template textarea tfoot th thead title "
    "tr ul xmp h1 h2 h3 h4 h5 h6"
)
# Nothing outside one of these can be closed from inside it.
SCOPES = _words("applet caption marquee object select table td template th foreignobject desc annotation-xml")
TABLE_PARTS = {  # -> what it closes when it opens, up to the nearest of these
    **dict.fromkeys(("td", "th"), ("tr", "tbody", "thead", "tfoot", "table", "template")),
    "tr": ("tbody", "thead", "tfoot", "table", "template"),
    **dict.fromkeys(("tbody", "thead", "tfoot", "caption"), ("table", "template")),
}
RAW_TEXT = _words("script style textarea title xmp iframe noembed noframes")
# Inside these, scripts and styles are markup for some of their ancestors: they open elements, but close none.
FOREIGN = _words("svg math select frameset")

MAX_DEPTH = 2_000  # lexbor is quadratic in depth: 100,000 open <div> took 10 s, 2,000 take 5 ms
MAX_UNSURE_DEPTH = 20_000  # with the elements that stand in scripts beside drawings
MAX_REOPENED = 1_000_000  # unclosed formatting is opened again in each block: nodes = open tags x blocks

ATTRIBUTES = r"""(?:[\s/]++|[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\s"'>][^\s>]*+)?+)?+)*+"""
TOKEN = re.compile(
    rf"<!--(?:-?>|.*?(?:--!?>|\Z))|<!\[CDATA\[.*?(?:\]\]>|\Z)|<[!?][^>]*+|</[^a-zA-Z>][^>]*+|"
    rf"<(?P<slash>/?)(?P<tag>[a-zA-Z][^\s/>]*+){ATTRIBUTES}",
    re.DOTALL,
)
SCRIPT_PART = re.compile(r"<!--|-->|<(?P<slash>/?)script(?=[\s/>])", re.IGNORECASE)
OPENING_TAG = re.compile(r"<[a-zA-Z]")


def refuse_hostile_nesting(page: str, filename: str) -> None:
    """Raises UnreadableDocumentError if building the page's tree would take minutes or gigabytes."""
    if page.count("<") > MAX_DEPTH and _is_hostile(page):
        detail = "elements are nested too deeply or never closed; save the page as plain text or Markdown"
        raise UnreadableDocumentError(filename, "invalid_file", detail)


def _is_hostile(page: str) -> bool:
    elements = _OpenElements()
    for closing, tag in _tags(page, elements):
        if closing:
            elements.close(tag)
        else:
            elements.open(tag)
            if elements.is_hostile:
                return True
    return elements.is_hostile


def _tags(page: str, elements: "_OpenElements") -> Iterator[tuple[bool, str]]:
    """The tags of the page that are markup: whether it closes, and its name."""
    position = 0
    while match := TOKEN.search(page, position):
        position = match.end()
        tag = (match.group("tag") or "").lower()
        if not tag:
            if match.group().startswith("<!["):  # text inside drawings and formulas, markup elsewhere
                elements.add_unsure(match.group(), always=True)
            continue
        if match.group().endswith("/") and elements.has_foreign:
            elements.add_unsure(match.group())
            continue
        yield bool(match.group("slash")), tag
        if not match.group("slash") and tag == "plaintext":
            return
        if not match.group("slash") and tag in RAW_TEXT:
            end = _end_of_script(page, position) if tag == "script" else _end_of_raw_text(page, position, tag)
            elements.add_unsure(page[position:end])
            position = end


def _end_of_raw_text(page: str, start: int, tag: str) -> int:
    match = re.compile(rf"</{tag}(?=[\s/>])", re.IGNORECASE).search(page, start)
    return match.start() if match else len(page)


def _end_of_script(page: str, start: int) -> int:
    """The start of the closing tag. `<!-- <script>` makes the next closing tag a part of the script."""
    is_escaped = is_doubly_escaped = False
    for match in SCRIPT_PART.finditer(page, start):
        if match.group() == "<!--":
            is_escaped = True
        elif match.group() == "-->":
            is_escaped = is_doubly_escaped = False
        elif not match.group("slash"):
            is_doubly_escaped = is_escaped
        elif is_doubly_escaped:
            is_doubly_escaped = False
        else:
            return match.start()
    return len(page)


class _OpenElements:
    """The open elements, outermost first, and for each name where it stands in the list."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._positions: dict[str, list[int]] = {}
        self._specials: list[int] = []
        self._scopes: list[int] = []
        self._formatting: dict[str, list[int]] = {}  # name -> the depth at each open tag
        self._num_formatting = self._num_blocks = self._num_unsure = 0
        self.has_foreign = False

    @property
    def is_hostile(self) -> bool:
        depth = len(self._names)
        return (
            depth > MAX_DEPTH
            or self._num_formatting > MAX_DEPTH
            or depth + self._num_unsure > MAX_UNSURE_DEPTH
            or self._num_formatting * self._num_blocks > MAX_REOPENED
        )

    def add_unsure(self, text: str, always: bool = False) -> None:
        """Count the opening tags of a text that is markup only inside a drawing or formula, or only outside."""
        if self.has_foreign or always:
            self._num_unsure += len(OPENING_TAG.findall(text))

    def open(self, tag: str) -> None:
        if tag in FORMATTING:
            self._formatting.setdefault(tag, []).append(len(self._names))
            self._num_formatting += 1
            return
        self._num_blocks += 1
        self.has_foreign = self.has_foreign or tag in FOREIGN
        if tag in SELF_CLOSING:
            return
        if tag in TABLE_PARTS and not self._open_table_part(tag):
            return
        position = len(self._names)
        self._names.append(tag)
        self._positions.setdefault(tag, []).append(position)
        if tag in SPECIAL:
            self._specials.append(position)
        if tag in SCOPES:
            self._scopes.append(position)

    def _open_table_part(self, tag: str) -> bool:
        """Close what the part of a table closes. False outside tables, where its tag is ignored."""
        parent = max(self._last(name) for name in TABLE_PARTS[tag])
        if parent >= 0:
            self._pop(parent + 1)
        return parent >= 0

    def close(self, tag: str) -> None:
        if tag in FORMATTING:
            depths = self._formatting.get(tag)
            if depths and depths[-1] > self._scope():
                depths.pop()
                self._num_formatting -= 1
            return
        position = self._last(tag)
        if position < 0 or tag in SELF_CLOSING:
            return
        if tag in TABLE_PARTS or tag == "table":
            barrier = max(self._last("table"), self._last("template")) if tag != "table" else self._last("template")
        else:
            barrier = self._scope() if tag in SPECIAL else (self._specials[-1] if self._specials else -1)
        if barrier <= position:
            self._pop(position)

    def _last(self, tag: str) -> int:
        positions = self._positions.get(tag)
        return positions[-1] if positions else -1

    def _scope(self) -> int:
        return self._scopes[-1] if self._scopes else -1

    def _pop(self, depth: int) -> None:
        """Close all elements at `depth` and deeper."""
        while len(self._names) > depth:
            tag = self._names.pop()
            self._positions[tag].pop()
            if tag in SPECIAL:
                self._specials.pop()
            if tag in SCOPES:
                self._end_scope(self._scopes.pop())

    def _end_scope(self, position: int) -> None:
        """Formatting that was opened inside a cell is not opened again after it."""
        for depths in self._formatting.values():
            while depths and depths[-1] > position:
                depths.pop()
                self._num_formatting -= 1
