"""The text layer of a PDF's page as lines, without what no reader sees."""

import ctypes
import re
from collections import Counter
from collections.abc import Iterator

import pypdfium2
import pypdfium2.raw as pdfium

from models.documents.pdf.annotations import Box, struck_out_boxes
from models.documents.pdf.hidden import HiddenText
from models.documents.pdf.line import Line
from models.documents.spans import Script, Span, plain_text

LINE_BREAK = "\r\n"
HYPHEN_AT_LINE_END = "\ufffe"  # pdfium replaces the hyphen and the line break by it
HIDDEN_PASSAGES = "hidden passages"
WORD = re.compile(r"\S+")
WORD_OR_SPACE = re.compile(r"\S+|\s+")
# A word that ends in a digit, or a number with a sign in it: its end may be raised or lowered.
MAY_END_IN_SCRIPT = re.compile(r"\w[\w\u2212-]*\d")
SMALL = 0.85  # of the size of the letters before


def read_lines(page: pypdfium2.PdfPage, omitted: Counter[str]) -> list[Line]:
    """The page's lines in the order of its content. `omitted` gets the number of hidden passages."""
    text_page = page.get_textpage()
    try:
        return _PageText(text_page, HiddenText(page, text_page), struck_out_boxes(page), omitted).lines()
    finally:
        text_page.close()


class _PageText:
    """pdfium counts UTF-16 units, so an emoji counts as two. Positions here are those."""

    def __init__(
        self, text_page: pypdfium2.PdfTextPage, hidden: HiddenText, struck_out: list[Box], omitted: Counter[str]
    ) -> None:
        self._text_page, self._hidden, self._struck_out, self._omitted = text_page, hidden, struck_out, omitted
        self._was_hidden = False

    def lines(self) -> list[Line]:
        lines: list[Line] = []
        position = 0
        for raw in self._text_page.get_text_range(errors="replace").split(LINE_BREAK):
            start = position
            for piece, hyphenated in _pieces(raw):
                lines.extend(self._visible_lines(piece, start, hyphenated))
                start += _num_units(piece) + hyphenated
            position += _num_units(raw) + len(LINE_BREAK)
        return lines

    def _visible_lines(self, piece: str, start: int, hyphenated: bool) -> Iterator[Line]:
        """A line of text, or what a reader sees of it."""
        runs = [(text, first) for text, first in self._visible(piece, start) if text.strip()]
        for number, (text, first) in enumerate(runs):
            line = self._line(text, first, hyphenated and number == len(runs) - 1)
            if self._hidden.omits(line):
                self._omitted[HIDDEN_PASSAGES] += 1
            else:
                yield line

    def _visible(self, piece: str, start: int) -> Iterator[tuple[str, int]]:
        """The runs of words that a reader sees, with their positions."""
        position = run_position = start
        run_start = end = 0
        for match in WORD.finditer(piece):
            position += _num_units(piece[end : match.start()])
            is_hidden = self._hidden.hides(position)
            self._omitted[HIDDEN_PASSAGES] += is_hidden and not self._was_hidden
            self._was_hidden = is_hidden
            position += _num_units(match.group())
            if is_hidden:
                yield piece[run_start:end], run_position
                run_start, run_position = match.end(), position
            end = match.end()
        yield piece[run_start:], run_position

    def _line(self, text: str, start: int, hyphenated: bool) -> Line:
        first = start + _num_units(text[: len(text) - len(text.lstrip())])
        last = start + _num_units(text.rstrip()) - 1
        left, bottom, _, top = self._text_page.get_charbox(first, loose=True)
        _, last_bottom, right, last_top = self._text_page.get_charbox(last, loose=True)
        if last_top - last_bottom > top - bottom:  # a line that begins with a superscript is as high as its letters
            bottom, top = last_bottom, last_top
        return Line(self._written(text, start).strip(), left, bottom, right, top, hyphenated)

    def _written(self, text: str, start: int) -> str:
        """The text with its scripts, and the words that a reader struck out."""
        if not self._struck_out:
            return self._with_scripts(text, start)
        words: list[Span] = []
        place = start
        for piece in WORD_OR_SPACE.findall(text):
            is_struck = self._is_struck(place) and (not piece.isspace() or self._is_struck(place + 1))
            words.append(Span(self._with_scripts(piece, place), is_struck=is_struck))
            place += _num_units(piece)
        return plain_text(words)

    def _is_struck(self, position: int) -> bool:
        if position >= self._text_page.count_chars():
            return False
        left, bottom, right, top = self._text_page.get_charbox(position)
        x, y = (left + right) / 2, (bottom + top) / 2
        return any(box[0] <= x <= box[2] and box[1] <= y <= box[3] for box in self._struck_out)

    def _with_scripts(self, text: str, start: int) -> str:
        spans: list[Span] = []
        end = before = 0
        place = start
        for match in MAY_END_IN_SCRIPT.finditer(text):
            place += _num_units(text[before : match.start()])
            before = match.start()
            if self._size(place) * SMALL > self._size(place + _num_units(match.group()) - 1):
                spans.append(Span(text[end : match.start()]))
                spans.extend(self._scripts(match.group(), place))
                end = match.end()
        return plain_text([*spans, Span(text[end:])]) if spans else text

    def _scripts(self, word: str, place: int) -> Iterator[Span]:
        """The word with its small characters, which are above or below the line of its first one."""
        size, base = self._size(place), self._base(place)
        for offset, character in enumerate(word):
            script: Script = "normal"
            if self._size(place + offset) < SMALL * size:
                script = "super" if self._base(place + offset) > base else "sub"
            yield Span(character, script)

    def _size(self, position: int) -> float:
        return float(pdfium.FPDFText_GetFontSize(self._text_page, position))

    def _base(self, position: int) -> float:
        x, y = ctypes.c_double(), ctypes.c_double()
        pdfium.FPDFText_GetCharOrigin(self._text_page, position, x, y)
        return y.value


def _pieces(raw: str) -> list[tuple[str, bool]]:
    pieces = raw.split(HYPHEN_AT_LINE_END)
    return [(piece, index < len(pieces) - 1) for index, piece in enumerate(pieces)]


def _num_units(text: str) -> int:
    return len(text) if text.isascii() else len(text) + sum(1 for character in text if character > "\uffff")
