"""Plain text, reStructuredText and logs: the extracted text is the file's own, verbatim. CSV: a line a row."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePath

from models.documents.base import MAX_HEADING_LEVEL, Block, BlockKind, Document
from models.documents.delimited import num_drawn_names
from models.documents.delimited_table import NoTableError, read_delimited
from models.documents.encoding import decode, is_binary
from models.documents.line_anchors import line_anchors
from models.documents.options import NoOptions
from models.documents.signatures import signature_of
from models.documents.text import clean, shorten_words

DELIMITED = frozenset([".csv", ".tsv"])
UNDERLINE = re.compile(r"([=\-~^\"'#*+.`:_])\1{2,}$")
LIST_MARKER = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)]|#\.)[ \t]")
DIRECTIVE = re.compile(r"[ \t]*\.\. [\w-]+::")
MAX_TITLE_CHARS = 200

Lines = list[tuple[int, str]]  # (start, line without its line break)


class PlainTextParser:
    """A Parser of kind `plain_text`."""

    config_class = NoOptions

    def __init__(self, name: str, config: NoOptions) -> None:
        """Nothing to load."""

    def recognizes(self, content: bytes) -> bool:
        return signature_of(content) is None and not is_binary(content)

    def parse(self, content: bytes, filename: str) -> Document:
        """The file's text. Blank lines separate paragraphs; an underlined title is a heading (reStructuredText)."""
        decoded = decode(content, filename)
        shortened, num_overlong = shorten_words(decoded.text)  # first: cleaning 40 MB takes seconds
        cleaned, extension = clean(shortened), PurePath(filename).suffix.lower()
        omissions = (("overlong words", num_overlong),) if num_overlong else ()
        if extension in DELIMITED:
            try:
                return replace(read_delimited(cleaned), omissions=omissions, doubt=decoded.doubt)
            except NoTableError:  # lines without cells
                pass
        text = cleaned.strip("\n").rstrip()
        blocks = tuple(_blocks(text, extension))
        tops = [block for block in blocks if block.level == 1]
        title = text[tops[0].start : tops[0].end] if len(tops) == 1 else ""
        anchors = line_anchors(shortened, cleaned, "row" if extension in DELIMITED else "line")
        return Document(text, blocks, title, omissions, decoded.doubt, anchors=anchors)


def _blocks(text: str, extension: str) -> Iterator[Block]:
    if extension in DELIMITED:
        return _verbatim("table", text)
    if extension == ".log":
        return _verbatim("code", text)
    return _Reader().read(text)


def _verbatim(kind: BlockKind, text: str) -> Iterator[Block]:
    """One block, which is cut between lines only."""
    if text:
        yield Block(kind, len(text) - len(text.lstrip()), len(text))


class _Reader:
    def __init__(self) -> None:
        # As in docutils, the order of appearance of underlines gives the levels.
        self._styles: list[tuple[str, bool]] = []
        self._expects_code = False

    def read(self, text: str) -> Iterator[Block]:
        for group in _groups(text):
            heading = self._heading(group)
            if heading is None:
                yield self._body(group)
                continue
            num_lines, block = heading
            yield block
            if group[num_lines:]:
                yield self._body(group[num_lines:])

    def _heading(self, lines: Lines) -> tuple[int, Block] | None:
        """The title at the beginning of the lines and its number of lines, or None."""
        overlined = len(lines) >= 3 and bool(UNDERLINE.match(lines[0][1]))
        start, title = lines[1] if overlined else lines[0]
        below = lines[2:] if overlined else lines[1:]
        underline = UNDERLINE.match(below[0][1]) if below else None
        if underline is None or not _is_title(title, underline.group()):
            return None
        style = (underline.group(1), overlined)
        if style not in self._styles:
            self._styles.append(style)
        self._expects_code = False
        level = min(self._styles.index(style) + 1, MAX_HEADING_LEVEL)
        return (3 if overlined else 2), _block("heading", [(start, title)], level)

    def _body(self, lines: Lines) -> Block:
        if self._expects_code and all(line[0] in " \t" for _, line in lines):
            return _block("code", lines)
        if num_names := num_drawn_names([line for _, line in lines]):
            return _table(lines, num_names)
        self._expects_code = lines[-1][1].endswith("::") or bool(DIRECTIVE.match(lines[0][1]))
        return _block("list_item" if LIST_MARKER.match(lines[0][1]) else "paragraph", lines)


def _groups(text: str) -> Iterator[Lines]:
    """Runs of consecutive lines that are not blank."""
    group: Lines = []
    start = 0
    for line in text.split("\n"):
        if line.strip():
            group.append((start, line.rstrip()))
        elif group:
            yield group
            group = []
        start += len(line) + 1
    if group:
        yield group


def _table(lines: Lines, num_names: int) -> Block:
    table = _block("table", lines)
    return replace(table, names_end=_block("table", lines[:num_names]).end if num_names < len(lines) else 0)


def _is_title(line: str, underline: str) -> bool:
    text = line.strip()
    return len(text) <= min(len(underline), MAX_TITLE_CHARS) and not UNDERLINE.match(text)


def _block(kind: BlockKind, lines: Lines, level: int = 0) -> Block:
    first_start, first = lines[0]
    last_start, last = lines[-1]
    return Block(kind, first_start + len(first) - len(first.lstrip()), last_start + len(last), level)
