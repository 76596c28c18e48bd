"""Text inside a block of a page, with the formats and formulas that carry meaning, and lines of code."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from selectolax.lexbor import LexborNode

from models.documents.spans import Script, Span, plain_text
from models.documents.text import one_line

SCRIPTS: dict[str | None, Script] = {"sup": "super", "sub": "sub"}
SCRIPT_STYLE = re.compile(r"vertical-align\s*:\s*(super|sub)\b")
STYLED_SCRIPTS: dict[str, Script] = {"super": "super", "sub": "sub"}
STRUCK_TAGS = frozenset(["del", "s", "strike"])
SPACED_TAGS = frozenset(
    [
        *("br", "p", "div", "section", "article", "ul", "ol", "li", "dl", "dt", "dd", "blockquote", "pre"),
        *("table", "tr", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6"),
    ]
)
LINE_TAGS = frozenset(["div", "p", "li", "tr", "ol", "ul", "table"])
LINE_STYLE = re.compile(r"display:(?:block|flex|grid|table-row)")
TEX_DISPLAY = re.compile(r"^\{\\displaystyle\s+(.*)\}$", re.DOTALL)
MATH_SCRIPTS: dict[str | None, Script] = {"msup": "super", "msub": "sub"}

Omits = Callable[[LexborNode], bool]


@dataclass(frozen=True)
class Format:
    """How the text of an element is written."""

    script: Script = "normal"
    is_struck: bool = False

    def inside(self, node: LexborNode) -> "Format":
        """The format of the text inside an element that has this format itself."""
        if script := SCRIPTS.get(node.tag):
            return replace(self, script=script)
        style = node.attributes.get("style") or ""
        if script_style := SCRIPT_STYLE.search(style):
            return replace(self, script=STYLED_SCRIPTS[script_style.group(1)])
        if node.tag in STRUCK_TAGS or "line-through" in style:
            return replace(self, is_struck=True)
        return self

    def span(self, text: str) -> Span:
        return Span(text, self.script, self.is_struck)


PLAIN = Format()


def line_of(root: LexborNode, omits: Omits, text_format: Format = PLAIN) -> str:
    """All text under an element on one line. `omits` says whether an element is left out."""
    spans: list[Span] = []
    stack = [(root, text_format)]
    while stack:
        node, text_format = stack.pop()
        if node.tag == "-text":
            spans.append(text_format.span(one_spaced(node.text_content or "")))
        elif node.tag == "math":
            spans.extend(formula(node))
        elif node is root or not omits(node):
            if node.tag in SPACED_TAGS:
                spans.append(PLAIN.span(" "))
            inside = text_format.inside(node)
            stack.extend((child, inside) for child in reversed(list(node.iter(include_text=True))))
    return one_line(plain_text(spans))


def one_spaced(text: str) -> str:
    """The text as a browser shows it: runs of white space as one space."""
    return re.sub(r"\s+", " ", text)


def formula(math: LexborNode) -> Iterator[Span]:
    """A MathML formula: its TeX if the page has it, else its characters."""
    source = math.css_first("annotation[encoding*=tex], annotation[encoding*=TeX]")
    tex = source.text(deep=True) if source is not None else math.attributes.get("alttext")
    if tex:
        tex = one_line(tex)
        match = TEX_DISPLAY.match(tex)
        yield PLAIN.span(f" {match.group(1) if match else tex} ")
        return
    stack = [(math, PLAIN)]
    while stack:
        node, text_format = stack.pop()
        if node.tag == "-text":
            yield text_format.span((node.text_content or "").strip())
        elif node.tag not in ("annotation", "annotation-xml"):
            children = list(node.iter(include_text=node.tag not in MATH_SCRIPTS))
            raised = replace(text_format, script=MATH_SCRIPTS.get(node.tag, text_format.script))
            stack.extend(
                (child, raised if number else text_format) for number, child in reversed([*enumerate(children)])
            )


class CodeText:
    """The text of a code block: lines as they are, or as elements of their own."""

    def __init__(self, omits: Omits) -> None:
        self._omits = omits
        self._parts: list[str] = []
        self._is_line_start = True  # by an element, not by a line break of the text

    def read(self, root: LexborNode) -> str:
        stack: list[tuple[LexborNode, int]] = [(root, -1)]  # -1, or the number of parts when a line was entered
        while stack:
            node, num_parts = stack.pop()
            if num_parts >= 0:
                self._end_line(num_parts)
            elif node.tag == "-text":
                self._add(node.text_content or "")
            elif node.tag == "br":
                self._parts.append("\n")
                self._is_line_start = False
            elif node is root or not self._omits(node):
                if node is not root and _is_line(node):
                    self._begin_line()
                    stack.append((node, len(self._parts)))
                stack.extend((child, -1) for child in reversed(list(node.iter(include_text=True))))
        return "".join(self._parts)

    def _add(self, text: str) -> None:
        is_between_lines = self._is_line_start and "\n" in text and not text.strip()
        if text and not is_between_lines:
            self._parts.append(text)
            self._is_line_start = False

    def _begin_line(self) -> None:
        if self._parts and not self._parts[-1].endswith("\n"):
            self._parts.append("\n")
        self._is_line_start = True

    def _end_line(self, num_parts: int) -> None:
        if len(self._parts) == num_parts or not self._parts[-1].endswith("\n"):
            self._parts.append("\n")  # the second: an element without text is an empty line
        self._is_line_start = True


def _is_line(node: LexborNode) -> bool:
    return node.tag in LINE_TAGS or bool(LINE_STYLE.search((node.attributes.get("style") or "").replace(" ", "")))
