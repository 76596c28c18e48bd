"""The lines of a Markdown file that its rendered text comes from.

The parser's events tell where each text stands in the file. In their order, they are the rendered text but for white
space and signs. So each line of the document is looked up in them, from the last one on. A line that is not there as
it is has no place: nothing is guessed.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import pyromark

from models.documents.base import Document
from models.documents.html_names import CLOSING, is_literal, tag_name
from models.location import Anchor, Location

NO_LETTER = re.compile(r"[\W_]+")
ASCII_SIGNS = bytes(code for code in range(128) if not chr(code).isalnum())
TAG = re.compile("<[^<>]*>")
NUMBER = re.compile(r"\s*\d{1,9}[.)]\s")  # of a list or a footnote: rendering makes it
MAX_GAP_CHARS = 2_000  # of rendered text that the document leaves out, such as hidden passages
MIN_KEY_CHARS = 12  # a shorter line must follow the last one at once


@dataclass(frozen=True)
class _Rendered:
    """Letters and digits of the rendered text. From `starts[i]` on they stand in line `lines[i]` of the file."""

    letters: str
    starts: list[int]
    lines: list[int]

    def line_of(self, position: int) -> int:
        return self.lines[bisect_right(self.starts, position) - 1]


def markdown_anchors(document: Document, body: str, first_line: int, options: pyromark.Options) -> tuple[Anchor, ...]:
    """Where the document's lines stand. `body` begins in line `first_line` of the file."""
    rendered = _render(body, first_line, options)
    anchors: list[Anchor] = []
    cursor = position = num_breaks = 0
    expected: Location | None = None  # if each line of the text since the last anchor is a line of the file
    for start, line, letters in _lines(document):
        num_breaks, position = document.text.count("\n", position, start), start
        location, cursor = _look_up(line, letters, rendered, cursor)
        expected = expected.further(num_breaks) if expected else None
        if not anchors or location != (expected or anchors[-1].location):
            is_line = location is not None and location.first == location.last
            anchors.append(Anchor(start, location, counts_lines=is_line))
            expected = location if is_line else None
    return tuple(anchors) if any(anchor.location for anchor in anchors) else ()


def _render(body: str, first_line: int, options: pyromark.Options) -> _Rendered:
    source = body.encode()
    pieces, starts, lines = list[str](), list[int](), list[int]()
    position, line, num_letters = 0, first_line, 0
    for text, start in _texts(body, options):
        line += source.count(b"\n", position, start)
        position = max(position, start)
        for number, piece in enumerate(text.split("\n"), line):
            letters = _letters(piece)
            if letters:
                pieces.append(letters)
                starts.append(num_letters)
                lines.append(number)
                num_letters += len(letters)
    return _Rendered("".join(pieces), starts, lines)


def _texts(body: str, options: pyromark.Options) -> Iterator[tuple[str, int]]:
    """The texts that are shown, and the bytes before each in the file."""
    closed = frozenset(match.group(1).lower() for match in CLOSING.finditer(body))
    for event, span in pyromark.events_with_range(body, options=options):
        kind, text = next(iter(event.items())) if isinstance(event, dict) else (event, "")
        if not isinstance(text, str):
            continue
        if kind in ("Text", "Code"):
            yield text, span["start"]
        elif kind in ("Html", "InlineHtml"):
            is_text = kind == "InlineHtml" and is_literal(text, tag_name(text) in closed)
            yield text if is_text else TAG.sub(" ", text), span["start"]


def _lines(document: Document) -> Iterator[tuple[int, str, str]]:
    """Each line of each block that has letters: its start in the text, the line, and its letters."""
    for block in document.blocks:
        start = block.start
        for line in document.text[block.start : block.end].split("\n"):
            if letters := _letters(line):
                yield start, line, letters
            start += len(line) + 1


def _look_up(line: str, letters: str, rendered: _Rendered, cursor: int) -> tuple[Location | None, int]:
    """The lines of the file that a line of the text comes from, and where the next one is looked up."""
    place = _find(letters, rendered, cursor)
    if place < 0 and NUMBER.match(line):
        letters = _letters(NUMBER.sub("", line, count=1))
        place = _find(letters, rendered, cursor)
    if place < 0:
        return None, cursor
    end = place + len(letters)
    return Location("line", rendered.line_of(place), rendered.line_of(end - 1)), end


def _find(letters: str, rendered: _Rendered, cursor: int) -> int:
    gap = MAX_GAP_CHARS if len(letters) >= MIN_KEY_CHARS else 0
    return rendered.letters.find(letters, cursor, cursor + gap + len(letters)) if letters else -1


def _letters(text: str) -> str:
    """The letters and digits of a text."""
    return text.encode().translate(None, ASCII_SIGNS).decode() if text.isascii() else NO_LETTER.sub("", text)
