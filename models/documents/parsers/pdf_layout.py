"""Lines with places on a page to headings and paragraphs: unwrapped where plainly safe, else line by line."""

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from models.documents.base import MAX_HEADING_LEVEL, Document
from models.documents.builder import DocumentBuilder

# Shares of a line's height unless named otherwise; tuned on files of LaTeX, InDesign, Google Docs and Chrome.
HEADING_RATIO = 1.15  # of the body's height
MAX_HEADING_CHARS = 120
PARAGRAPH_GAP = 0.35  # more than the page's usual gap
INDENT = (0.7, 5.0)
WORD_GAP = 0.15
MAX_CHARACTER_WIDTH = 0.55  # on average; the cells of a table stand further apart
SPREAD_CHARACTER_WIDTH = 0.8
COLUMN_POINTS = 12.0  # lines whose left edges are about this near share a right margin

MIN_PAGE_LINES = 3  # a page with fewer has no room for a header and a footer

HYPHENATED_WORD = re.compile(r"\b\w+(?:-\w+)+\b")
LAST_WORD = re.compile(r"[\w-]+$")
FIRST_WORD = re.compile(r"^\w+")
DIGITS = re.compile(r"\d+")
SENTENCE_END = (".", "!", "?", ":", ";", '"', "”", "»", "。")
LIST_MARKER = re.compile(r"(?:[-–•*●▪]|\d{1,3}[.)]|\(?[a-z]\))\s")


@dataclass(frozen=True)
class Line:
    """A line of a page: the box is in points, from the page's lower left. `hyphenated`: a hyphen ended it, now gone."""

    text: str
    left: float
    bottom: float
    right: float
    top: float
    hyphenated: bool = False

    @property
    def height(self) -> float:
        return max(self.top - self.bottom, 0.1)


def build_document(title: str, pages: list[list[Line]]) -> Document:
    """Headings by the height of their letters, paragraphs by gaps and indents; repeated headers and footers go."""
    builder = DocumentBuilder()
    builder.title = title
    pages = _without_running_lines(pages)
    words = Counter(word.lower() for page in pages for line in page for word in HYPHENATED_WORD.findall(line.text))
    levels = _heading_levels(pages)
    for block in _blocks(pages):
        text = _joined(block, words)
        level = levels.get(round(block[0].line.height), 0) if len(text) <= MAX_HEADING_CHARS else 0
        builder.add("heading" if level else "paragraph", text.replace("\n", " ") if level else text, level)
    return builder.build()


def _without_running_lines(pages: list[list[Line]]) -> list[list[Line]]:
    """Pages without first and last lines that repeat at one place on most pages: headers and page numbers.

    Of a line with letters only the very same is a repetition: "Example 1" and "Example 2" may be titles of slides.
    """
    edges = Counter(_edge_key(page[at]) for page in pages if len(page) >= MIN_PAGE_LINES for at in (0, -1))
    running = {key for key, count in edges.items() if count >= 3 and count > len(pages) / 2}
    return [
        [line for at, line in enumerate(page) if at not in (0, len(page) - 1) or _edge_key(line) not in running]
        for page in pages
    ]


def _edge_key(line: Line) -> tuple[str, int]:
    has_letters = any(character.isalpha() for character in line.text)
    return line.text if has_letters else DIGITS.sub("#", line.text), round(line.bottom)


def _heading_levels(pages: list[list[Line]]) -> dict[int, int]:
    """The heading level of each letter height (whole points) that is clearly above the body's, the largest first."""
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
class _Joined:
    """A line and what stands between it and the line before it in the same block: nothing, " " or a line break."""

    line: Line
    before: str


def _blocks(pages: list[list[Line]]) -> Iterator[list[_Joined]]:
    """Runs of lines that belong together, also across columns and pages where a sentence plainly goes on."""
    block: list[_Joined] = []
    for page in pages:
        margins, usual_gap = _right_margins(page), _usual_gap(page)
        for number, line in enumerate(page):
            above = block[-1].line if block else line
            joined_by = _between(above, line, margins, usual_gap) if number else _across(above, line)
            if joined_by is None and block:
                yield block
                block = []
            block.append(_Joined(line, joined_by or ""))
    if block:
        yield block


def _between(above: Line, line: Line, margins: dict[int, float], usual_gap: float) -> str | None:
    """What joins a line to the one above: nothing, " " or a line break; None where a new block begins."""
    height = max(above.height, line.height)
    overlap = min(above.top, line.top) - max(above.bottom, line.bottom)
    if overlap > 0.5 * min(above.height, line.height) and line.left >= above.right - height:
        return " " if _is_word_gap(above, line) else ""  # the row goes on, or part of it was raised, as in 1/4
    if not 1 / HEADING_RATIO < line.height / above.height < HEADING_RATIO:
        return None
    gap = above.bottom - line.top
    if gap < -0.5 * height or gap > 3 * height + max(usual_gap, 0):
        return _across(above, line)
    if above.hyphenated:
        return " "
    is_indented = INDENT[0] * height < line.left - above.left < INDENT[1] * height
    if gap > usual_gap + PARAGRAPH_GAP * height or (is_indented and above.text.endswith(SENTENCE_END)):
        return None
    keeps_break = LIST_MARKER.match(line.text) or _is_spread(above) or _is_spread(line)
    return "\n" if keeps_break or _ended_early(above, line, margins) else " "


def _is_word_gap(before: Line, after: Line) -> bool:
    """Whether a space stands between two pieces of a row. A raised figure after a figure is a footnote, not a digit."""
    if before.text[-1].isalnum() and after.text[0].isalnum():
        return True
    return after.left - before.right > WORD_GAP * max(before.height, after.height)


def _across(above: Line, line: Line) -> str | None:
    """What joins the first line of a column or page to the last one before: a space if the sentence plainly goes on."""
    goes_on = above.hyphenated or (line.text[:1].islower() and not above.text.endswith(SENTENCE_END))
    return " " if goes_on else None


def _is_spread(line: Line) -> bool:
    """Whether a line has far fewer characters than fit: the row of a table."""
    return line.right - line.left > SPREAD_CHARACTER_WIDTH * line.height * len(line.text)


def _ended_early(above: Line, line: Line, margins: dict[int, float]) -> bool:
    """Whether the line above had room for the first word of this one, so that its end was meant."""
    first_word = line.text.split(maxsplit=1)[0]
    per_character = min((line.right - line.left) / len(line.text), MAX_CHARACTER_WIDTH * line.height)
    width = per_character * (len(first_word) + 1) + line.height  # some slack: words differ in width
    return above.right + width < margins.get(_column(above), above.right)


def _right_margins(page: list[Line]) -> dict[int, float]:
    """The right edge of each column, by where its lines begin; up to a tenth of them (captions, say) reach further."""
    edges: defaultdict[int, list[float]] = defaultdict(list)
    for line in page:
        for column in (_column(line) - 1, _column(line), _column(line) + 1):
            edges[column].append(line.right)
    return {column: sorted(rights, reverse=True)[len(rights) // 10] for column, rights in edges.items()}


def _column(line: Line) -> int:
    return round(line.left / COLUMN_POINTS)


def _usual_gap(page: list[Line]) -> float:
    """The median white space between a line and the next below it, in points; negative where boxes overlap."""
    gaps = [above.bottom - line.top for above, line in pairwise(page) if line.top < above.top]
    return statistics.median(gaps) if gaps else 0.0


def _joined(block: list[_Joined], words: Counter[str]) -> str:
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


def _was_hyphenated(line: Line) -> bool:
    return line.hyphenated or (len(line.text) > 1 and line.text[-1] == "-" and line.text[-2].isalpha())


def _hyphen(before: str, after: str, words: Counter[str]) -> str:
    """The hyphen, where the word has one anyway: the document has it elsewhere, or what follows is no small letter."""
    first, second = LAST_WORD.search(before), FIRST_WORD.search(after)
    if first is None or second is None or not second.group()[0].islower():
        return "-"
    return "-" if f"{first.group()}-{second.group()}".lower() in words else ""
