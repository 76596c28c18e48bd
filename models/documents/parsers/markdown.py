"""Markdown as a reader sees it, with commands and configuration verbatim.

The extracted text is the rendered text. Code and autolinks stay as they are; emphasis marks and link targets are
removed. In a generated reference, the targets are a quarter of the tokens, and no question needs them.
"""

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.encoding import decode
from models.documents.html_blocks import append_html
from models.documents.options import NoOptions
from models.documents.text import clean, one_line

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
FRONT_MATTER_KEY = re.compile(r"[\w-]+[ \t]*:")
FRONT_MATTER_TITLE = re.compile(r"^title[ \t]*:[ \t]*(.+)$", re.MULTILINE)
HEADING_ATTRIBUTES = re.compile(r"\{[#.:][^{}]*\}$")  # `# Title {#anchor}`


class MarkdownParser:
    """A Parser of kind `markdown`."""

    config_class = NoOptions

    def __init__(self, name: str, config: NoOptions) -> None:
        """Nothing to load."""

    def recognizes(self, content: bytes) -> bool:
        """Never: the content alone does not tell Markdown from plain text."""
        return False

    def parse(self, content: bytes, filename: str) -> Document:
        """The rendered text. Front matter gives the title and is not part of the text."""
        front_matter, body = _split_front_matter(clean(decode(content, filename)).lstrip("\n"))
        renderer = _Renderer(filename)
        if match := FRONT_MATTER_TITLE.search(front_matter):
            renderer.builder.title = match.group(1).strip().strip("\"'")
        renderer.render(MARKDOWN.parse(body))
        return renderer.builder.build()


def _split_front_matter(text: str) -> tuple[str, str]:
    """Front matter without its fences, and the body. A first line of dashes may also be a rule."""
    if not text.startswith("---\n") or not FRONT_MATTER_KEY.match(text, 4):
        return "", text
    front_matter, fence, body = text[4:].partition("\n---\n")
    return (front_matter, body) if fence else ("", text)


class _Renderer:
    """Visits markdown-it's flat token list once. Its state is the open lists and the open table."""

    def __init__(self, filename: str) -> None:
        self._filename = filename
        self.builder = DocumentBuilder()
        self._numbers: list[int | None] = []  # the next number of each open list, None in a bullet list
        self._marker = ""
        self._heading_level = 0
        self._rows: list[list[str]] = []
        self._in_table = False

    def render(self, tokens: Sequence[Token]) -> None:
        for token in tokens:
            if token.type == "inline":
                self._text(inline_text(token))
            elif token.type in ("fence", "code_block"):
                self._marker = ""
                self.builder.add("code", token.content)
            elif token.type == "html_block":
                append_html(token.content, self.builder, self._filename)
            elif token.type.startswith(("bullet_list", "ordered_list", "list_item")):
                self._list(token)
            else:
                self._open_or_close(token)

    def _text(self, text: str) -> None:
        if self._in_table:
            self._rows[-1].append(one_line(text))
        elif self._heading_level:
            self.builder.add("heading", HEADING_ATTRIBUTES.sub("", one_line(text)), self._heading_level)
        elif self._marker:
            self.builder.add("list_item", self._marker + text, indent=2 * (len(self._numbers) - 1))
            self._marker = ""
        else:
            self.builder.add("paragraph", text)

    def _list(self, token: Token) -> None:
        if token.type == "list_item_open":
            number = self._numbers[-1]
            self._marker = "- " if number is None else f"{number}. "
            self._numbers[-1] = None if number is None else number + 1
        elif token.nesting == 1:
            self._numbers.append(int(token.attrs.get("start", 1)) if token.type == "ordered_list_open" else None)
        elif token.type != "list_item_close":
            self._numbers.pop()
        else:
            self._marker = ""

    def _open_or_close(self, token: Token) -> None:
        if token.type == "heading_open":
            self._heading_level = int(token.tag[1])
        elif token.type == "heading_close":
            self._heading_level = 0
        elif token.type == "table_open":
            self._in_table, self._rows = True, []
        elif token.type == "tr_open":
            self._rows.append([])
        elif token.type == "table_close":
            self._in_table = False
            self.builder.add("table", "\n".join(" | ".join(row).rstrip(" |") for row in self._rows))


def inline_text(token: Token) -> str:
    """The visible text of a paragraph: one line except for hard breaks; links and images by their text."""
    parts = []
    for child in token.children or []:
        if child.type == "softbreak":
            parts.append(" ")
        elif child.type == "hardbreak" or (child.type == "html_inline" and child.content.startswith("<br")):
            parts.append("\n")
        elif child.type != "html_inline":
            parts.append(child.content)
    return "".join(parts)
