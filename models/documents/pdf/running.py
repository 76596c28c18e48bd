"""Headers, footers and page numbers: lines at a page's edge that belong to the page, not to the text."""

import re
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise, takewhile

from models.documents.pdf.line import Line

MAX_ROWS = 3  # of a header or a footer
MIN_PAGE_LINES = 3  # a page with fewer has no room for a header and a footer
MIN_PAGES = 3
SAME_TEXT_FRACTION = 0.4  # of the pages: left and right pages may have different headers
SAME_PLACE_FRACTION = 0.6  # of the pages, for headers that name the chapter or the page
MAX_LINE_GAP = 2.0  # of a line's height: between lines of text; more is between paragraphs and parts of the page
EDGE_GAP = 0.35  # of the line's height, more than the page's usual gap: the text is further away
LARGE = 1.15  # times the height of the body: a title, such as a slide's
MAX_CHARS = 160
MAX_OFFSET = 50  # of page numbers from the first page; numbers of invoices, one a page, are further away
NUMBER = re.compile(r"\d+|(?<![A-Za-z])[ivxlc]{1,6}(?![A-Za-z])")
ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}

Slot = tuple[bool, int, int]  # at the top, the line's lower edge and height in points


@dataclass(frozen=True)
class Row:
    """A row of lines at the edge of a page. `lines` are places in the page's list.

    `is_apart`: white space separates it from the next row, away from the edge.
    """

    page: int
    slot: Slot
    text: str
    lines: tuple[int, ...]
    is_apart: bool

    @property
    def masked(self) -> str:
        return NUMBER.sub("#", self.text)

    @property
    def has_letters(self) -> bool:
        return any(character.isalpha() for character in self.masked.replace("#", ""))

    def offsets(self) -> set[int]:
        """The numbers in it minus the number of its page: a page number's is equal on all pages."""
        offsets = (_number(digits) - self.page for digits in NUMBER.findall(self.text))
        return {offset for offset in offsets if abs(offset) <= MAX_OFFSET}

    def without_page_number(self, offset: int | None) -> str:
        return NUMBER.sub(
            lambda match: "#" if _number(match.group()) - self.page == offset else match.group(), self.text
        )


def without_running_lines(pages: list[list[Line]]) -> tuple[list[list[Line]], int]:
    """The pages without headers, footers and page numbers, and how many lines those had."""
    edges = [_edges(number, page) for number, page in enumerate(pages)]
    running = _running_rows([row for rows in edges for side in rows for row in side], len(pages), _body_height(pages))
    dropped: dict[int, set[int]] = defaultdict(set)
    for sides in edges:
        for side in sides:
            outer = list(takewhile(running.__contains__, side))
            while outer and not outer[-1].is_apart:
                outer.pop()  # it belongs to the text, as the names of a table's columns do
            for row in outer:
                dropped[row.page].update(row.lines)
    cut = [
        [line for place, line in enumerate(page) if place not in dropped[number]] for number, page in enumerate(pages)
    ]
    return cut, sum(map(len, dropped.values()))


def _edges(number: int, page: list[Line]) -> tuple[list[Row], list[Row]]:
    """The rows at the top and at the bottom, from outside."""
    if len(page) < MIN_PAGE_LINES:
        return [], []
    rows = _rows(page)
    gaps = [page[above[0]].bottom - page[below[0]].top for above, below in pairwise(rows)]
    usual = statistics.median([gap for gap in gaps if gap < MAX_LINE_GAP * page[0].height] or [0.0])
    tops = _outer(number, page, list(zip(rows, gaps, strict=False)), usual, True)
    return tops, _outer(number, page, list(zip(rows[::-1], gaps[::-1], strict=False)), usual, False)


def _outer(number: int, page: list[Line], rows: list[tuple[list[int], float]], usual: float, is_top: bool) -> list[Row]:
    """The outermost rows. `rows` are places of lines, each with the gap to the next row."""
    outer: list[Row] = []
    for places, gap in rows[:MAX_ROWS]:
        first = page[places[0]]
        text = " ".join(page[place].text for place in sorted(places, key=lambda place: page[place].left))
        slot = (is_top, round(first.bottom), round(first.height))
        outer.append(Row(number, slot, text, tuple(places), gap > usual + EDGE_GAP * first.height))
    return outer


def _rows(page: list[Line]) -> list[list[int]]:
    """Places of the lines that stand side by side, from the top of the page."""
    rows: list[list[int]] = []
    for place in sorted(range(len(page)), key=lambda number: (-page[number].bottom, page[number].left)):
        if rows and page[rows[-1][0]].shares_row_with(page[place]):
            rows[-1].append(place)
        else:
            rows.append([place])
    return rows


def _running_rows(rows: list[Row], num_pages: int, body_height: float) -> set[Row]:
    """Rows with one text on many pages, or that stand at one place on most and tell the page or the chapter."""
    by_text: dict[tuple[Slot, str], list[Row]] = defaultdict(list)
    by_slot: dict[Slot, list[Row]] = defaultdict(list)
    for row in rows:
        by_text[row.slot, row.text if row.has_letters else row.masked].append(row)
        by_slot[row.slot].append(row)
    running: set[Row] = set()
    for group in by_text.values():
        if len(group) >= max(MIN_PAGES, SAME_TEXT_FRACTION * num_pages):
            running.update(group)
    for slot, group in by_slot.items():
        is_small = slot[2] < LARGE * body_height
        if is_small and len(group) >= max(MIN_PAGES, SAME_PLACE_FRACTION * num_pages) and _tells_its_place(group):
            running.update(row for row in group if len(row.text) <= MAX_CHARS)
    return running


def _tells_its_place(rows: list[Row]) -> bool:
    """Whether most rows have the text of another page's row, but for the number of the page."""
    offsets = Counter(offset for row in rows for offset in row.offsets())
    page_offset = offsets.most_common(1)[0][0] if offsets else None
    texts = Counter(row.without_page_number(page_offset) for row in rows)
    telling = [row for row in rows if texts[row.without_page_number(page_offset)] > 1]
    return len(telling) >= SAME_PLACE_FRACTION * len(rows)


def _body_height(pages: list[list[Line]]) -> float:
    num_chars: Counter[int] = Counter()
    for page in pages:
        for line in page:
            num_chars[round(line.height)] += len(line.text)
    return float(num_chars.most_common(1)[0][0]) if num_chars else 0.0


def _number(text: str) -> int:
    if text.isdecimal():
        return int(text[-9:])
    values = [ROMAN[letter] for letter in text]
    return sum(-size if size < max(values[place:]) else size for place, size in enumerate(values))
