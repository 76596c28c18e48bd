"""Makes headings and paragraphs of a page's lines. Lines are joined only if that is clearly right."""

import re
import statistics
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

from models.documents.base import MAX_HEADING_LEVEL, Document
from models.documents.builder import DocumentBuilder
from models.documents.pdf.line import Line
from models.documents.pdf.running import without_running_lines
from models.documents.text import SPACELESS, clean
from models.documents.titles import title_of
from models.location import Location

# Fractions of a line's height, unless the name has a unit. Tuned on files from LaTeX, InDesign, Google Docs and Chrome.
HEADING_RATIO = 1.15  # of the body's height
MAX_HEADING_CHARS = 120
PARAGRAPH_GAP = 0.35  # more than the page's usual gap
INDENT = (0.7, 5.0)
WORD_GAP = 0.15
MAX_CHARACTER_WIDTH = 0.55  # on average; the cells of a table are further apart
SPREAD_CHARACTER_WIDTH = 0.8
COLUMN_POINTS = 12.0  # lines whose left edges differ by about this much share a right margin

HYPHENATED_WORD = re.compile(r"\b\w+(?:-\w+)+\b")
LAST_WORD = re.compile(r"[\w-]+$")
FIRST_WORD = re.compile(r"^\w+")
SPACELESS_CHARACTER = re.compile(f"[{SPACELESS}]")
SENTENCE_END = (".", "!", "?", ":", ";", '"', "”", "»", "。", "！", "？", "：", "；")
LIST_MARKER = re.compile(r"(?:[-–•*●▪]|\d{1,3}[.)]|\(?[a-z]\))\s")


def build_document(title: str, pages: list[list[Line]], omitted: Counter[str]) -> Document:
    """The document: headings by letter height, paragraphs by gaps and indents, without repeated headers and footers."""
    builder = DocumentBuilder()
    body = without_running_lines(pages)
    builder.title = title_of(clean(title)) or body.title
    for name, count in omitted.items():
        builder.omit(name, count)
    builder.omit("pages without text", sum(1 for page in pages if not page))
    pages = body.pages
    builder.omit("lines of headers and footers", body.num_omitted)
    words = Counter(word.lower() for page in pages for line in page for word in HYPHENATED_WORD.findall(line.text))
    levels = _heading_levels(pages)
    for block in _blocks(pages):
        text = _join(block, words)
        builder.locate(_page(block[0]))
        level = levels.get(round(block[0].line.height), 0) if len(text) <= MAX_HEADING_CHARS else 0
        text = text.replace("\n", " ") if level else text
        builder.add("heading" if level else "paragraph", text, level, turns=list(_turns(block, words)))
    return builder.build()


def _heading_levels(pages: list[list[Line]]) -> dict[int, int]:
    """The heading level of each letter height (whole points) that is clearly above the body's; 1 for the largest."""
    num_chars: Counter[int] = Counter()
    for page in pages:
        for line in page:
            num_chars[round(line.height)] += len(line.text)
    if not num_chars:
        return {}
    body = num_chars.most_common(1)[0][0]
    heights = sorted((height for height in num_chars if height >= HEADING_RATIO * body), reverse=True)
    return {height: min(rank, MAX_HEADING_LEVEL) for rank, height in enumerate(heights, start=1)}


@dataclass(frozen=True)
class _JoinedLine:
    """A line and the text between it and the previous line of its block: nothing, " " or a line break.

    `page` counts from 1.
    """

    line: Line
    before: str
    page: int


def _blocks(pages: list[list[Line]]) -> Iterator[list[_JoinedLine]]:
    """Runs of lines that belong together, also across columns and pages if a sentence clearly continues."""
    block: list[_JoinedLine] = []
    margins: dict[int, float] = {}
    for page_number, page in enumerate(pages, 1):
        margins_above = margins
        margins, usual_gap = _right_margins(page), _usual_gap(page)
        for number, line in enumerate(page):
            above = block[-1].line if block else line
            separator = _between(above, line, margins, usual_gap) if number else _across(above, line, margins_above)
            if separator is None and block:
                yield block
                block = []
            block.append(_JoinedLine(line, separator or "", page_number))
    if block:
        yield block


def _between(above: Line, line: Line, margins: dict[int, float], usual_gap: float) -> str | None:
    """The separator of a line from the one above: nothing, " " or a line break; None if a new block begins."""
    if above.stands_alone or line.stands_alone:
        return None
    height = max(above.height, line.height)
    if above.shares_row_with(line) and line.left >= above.right - height:
        # The row continues, or a piece of it is a superscript, as in 1/4.
        return " " if _is_word_gap(above, line) else ""
    if not 1 / HEADING_RATIO < line.height / above.height < HEADING_RATIO:
        return None
    gap = above.bottom - line.top
    if gap < -0.5 * height or gap > 3 * height + max(usual_gap, 0):
        return _across(above, line, margins)
    if above.hyphenated:
        return " "
    is_indented = INDENT[0] * height < line.left - above.left < INDENT[1] * height
    if gap > usual_gap + PARAGRAPH_GAP * height or (is_indented and above.text.endswith(SENTENCE_END)):
        return None
    keeps_break = LIST_MARKER.match(line.text) or _is_spread(above) or _is_spread(line)
    return "\n" if keeps_break or _ended_early(above, line, margins) else _word_space(above, line)


def _is_word_gap(before: Line, after: Line) -> bool:
    """Whether there is a space between two pieces of a row. A superscript after a digit is a footnote mark."""
    if before.text[-1].isalnum() and after.text[0].isalnum():
        return True
    return after.left - before.right > WORD_GAP * max(before.height, after.height)


def _across(above: Line, line: Line, margins: dict[int, float]) -> str | None:
    """The separator at a new column or page: that of words if the sentence clearly continues, else None.

    `margins` are those of the page of the line above. Letters of languages without spaces are neither small nor large:
    there the line above must be full.
    """
    if above.stands_alone or line.stands_alone:
        return None
    continues = above.hyphenated or (
        not above.text.endswith(SENTENCE_END)
        and (line.text[:1].islower() or (not _word_space(above, line) and not _ended_early(above, line, margins)))
    )
    return _word_space(above, line) if continues else None


def _word_space(above: Line, line: Line) -> str:
    """What separates two lines of a sentence: nothing in languages that put no space between words."""
    is_spaceless = SPACELESS_CHARACTER.match(above.text[-1]) and SPACELESS_CHARACTER.match(line.text[0])
    return "" if is_spaceless else " "


def _is_spread(line: Line) -> bool:
    """Whether a line is a row of a table: it has far fewer characters than fit into its width."""
    return line.right - line.left > SPREAD_CHARACTER_WIDTH * line.height * _num_columns(line.text)


def _num_columns(text: str) -> int:
    """The text's width in letters: a Chinese or Japanese character is as wide as two."""
    return (
        len(text)
        if text.isascii()
        else len(text) + sum(1 for character in text if unicodedata.east_asian_width(character) in "WF")
    )


def _ended_early(above: Line, line: Line, margins: dict[int, float]) -> bool:
    """Whether the line above had room for the first word of this line, so that its line break is intended."""
    first_word = line.text[0] if SPACELESS_CHARACTER.match(line.text) else line.text.split(maxsplit=1)[0]
    per_column = min((line.right - line.left) / _num_columns(line.text), MAX_CHARACTER_WIDTH * line.height)
    width = per_column * (_num_columns(first_word) + 1) + line.height  # with a margin, as words differ in width
    return above.right + width < margins.get(_column(above), above.right)


def _right_margins(page: list[Line]) -> dict[int, float]:
    """The right edge of each column, by the left edge of its lines. Up to a tenth of the lines may be longer."""
    edges: defaultdict[int, list[float]] = defaultdict(list)
    for line in page:
        for column in (_column(line) - 1, _column(line), _column(line) + 1):
            edges[column].append(line.right)
    return {column: sorted(rights, reverse=True)[len(rights) // 10] for column, rights in edges.items()}


def _column(line: Line) -> int:
    return round(line.left / COLUMN_POINTS)


def _usual_gap(page: list[Line]) -> float:
    """The median white space between a line and the line below it, in points; negative if boxes overlap."""
    gaps = [above.bottom - line.top for above, line in pairwise(page) if line.top < above.top]
    return statistics.median(gaps) if gaps else 0.0


def _join(block: list[_JoinedLine], words: Counter[str]) -> str:
    parts: list[str] = []
    for above, joined in zip([None, *block], block, strict=False):
        if above is not None and _was_hyphenated(above.line):
            text = parts.pop().removesuffix("-")
            parts.append(text + _hyphen(text, joined.line.text, words))
        else:
            parts.append(joined.before)
        parts.append(joined.line.text)
    last_hyphen = "-" if block[-1].line.hyphenated else ""
    return "".join(parts) + last_hyphen


def _page(joined: _JoinedLine) -> Location:
    return Location("page", joined.page, joined.page)


def _turns(block: list[_JoinedLine], words: Counter[str]) -> Iterator[tuple[int, Location]]:
    """Where a block goes on at the next page: characters of its text, right but for a hyphen."""
    offset = 0
    for _, page_lines in groupby(block, key=lambda joined: joined.page):
        lines = list(page_lines)
        if offset:
            yield offset, _page(lines[0])
        offset += len(_join(lines, words))


def _was_hyphenated(line: Line) -> bool:
    return line.hyphenated or (len(line.text) > 1 and line.text[-1] == "-" and line.text[-2].isalpha())


def _hyphen(before: str, after: str, words: Counter[str]) -> str:
    """A hyphen if the word has one by itself: it occurs elsewhere in the document, or no small letter follows."""
    first, second = LAST_WORD.search(before), FIRST_WORD.search(after)
    if first is None or second is None or not second.group()[0].islower():
        return "-"
    return "-" if f"{first.group()}-{second.group()}".lower() in words else ""
