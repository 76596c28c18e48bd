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
# "page # of 12", where # is the page's number
PAGE_COUNT = re.compile(
    r"(?:\b(?:page|seite|página|pagina|strona|стр\.?|p\.|s\.)\s*)?#(?:\s*(?:of|von|de|di|из|/)\s*\d+)?", re.I
)
PAGE_LABEL = re.compile(
    r"\b(?:page|seite|página|pagina|strona|страница)\s*\d+|\b\d+\s*(?:/|of|von)\s*\d+|第\s*\d+\s*页", re.I
)
SEPARATORS = " |-–—·•,;:/"
LETTERS = re.compile(r"[^\W\d_]{2,}")
MIN_TITLE_WORDS = 2
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
    is_outermost: bool

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

    def without_page_number(self, offset: int | None) -> list[str]:
        """Its text with # for the page's number: once for each number that may be it, or as it is."""
        matches = [match for match in NUMBER.finditer(self.text) if _number(match.group()) - self.page == offset]
        return [f"{self.text[: match.start()]}#{self.text[match.end() :]}" for match in matches] or [self.text]


@dataclass(frozen=True)
class Body:
    """The pages without headers, footers and page numbers, and how many lines those had.

    `title` is what most of these lines say, such as the name of a report; empty if they say nothing.
    """

    pages: list[list[Line]]
    num_omitted: int
    title: str


def without_running_lines(pages: list[list[Line]]) -> Body:
    """The body of a document."""
    edges = [side for number, page in enumerate(pages) for side in _edges(number, page)]
    running = _running_rows([row for side in edges for row in side], len(pages), _body_height(pages))
    rows = [row for side in edges for row in _outside(side, running)]
    omitted = {(row.page, place) for row in rows for place in row.lines}
    cut = [[line for at, line in enumerate(page) if (number, at) not in omitted] for number, page in enumerate(pages)]
    return Body(cut, len(omitted), _title(rows, len(pages)))


def _outside(side: list[Row], running: set[Row]) -> list[Row]:
    """The running rows of an edge. A row close to the text belongs to it, as the names of a table's columns do."""
    rows = list(takewhile(running.__contains__, side))
    while rows and not rows[-1].is_apart:
        rows.pop()
    return rows


def _title(rows: list[Row], num_pages: int) -> str:
    offset = _page_offset(rows)
    texts = Counter(
        PAGE_COUNT.sub(" ", text).strip(SEPARATORS) for row in rows for text in row.without_page_number(offset)
    )
    named = [(count, text) for text, count in texts.items() if len(LETTERS.findall(text)) >= MIN_TITLE_WORDS]
    count, title = max(named, default=(0, ""))
    return title if count >= SAME_TEXT_FRACTION * num_pages else ""


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
        is_apart = gap > usual + EDGE_GAP * first.height
        outer.append(Row(number, slot, text, tuple(places), is_apart, is_outermost=not outer))
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
    """Rows with one text on many pages, or that stand at one place on most and tell the page or the chapter.

    The outermost row may stand anywhere if it tells the page: in a printed web page, the footer follows the text.
    """
    groups: dict[tuple[Slot | bool, str], list[Row]] = defaultdict(list)
    slots: dict[Slot, list[Row]] = defaultdict(list)
    small = [row for row in rows if row.slot[2] < LARGE * body_height and len(row.text) <= MAX_CHARS]
    for row in rows:
        groups[row.slot, row.text if row.has_letters else row.masked].append(row)
    for row in small:
        slots[row.slot].append(row)
    offset = _page_offset([row for row in small if row.is_outermost])
    for row in small:
        if row.is_outermost and offset in row.offsets():
            for text in row.without_page_number(offset):
                groups[row.slot[0], text].append(row)
    by_text = [group for group in groups.values() if len(group) >= _min_rows(group, num_pages)]
    by_place = [
        group
        for group in slots.values()
        if len(group) >= max(MIN_PAGES, SAME_PLACE_FRACTION * num_pages) and _tells_its_place(group)
    ]
    return {row for group in by_text + by_place for row in group}


def _min_rows(group: list[Row], num_pages: int) -> float:
    """Rows that make a text a running one: two of "page 1 of 2" do."""
    are_labels = all(PAGE_LABEL.search(row.text) and row.is_outermost for row in group)
    return max(2 if are_labels else MIN_PAGES, SAME_TEXT_FRACTION * num_pages)


def _page_offset(rows: list[Row]) -> int | None:
    """The number of the first page, as most rows state it."""
    offsets = Counter(offset for row in rows for offset in row.offsets())
    return offsets.most_common(1)[0][0] if offsets else None


def _tells_its_place(rows: list[Row]) -> bool:
    """Whether most rows have the text of another page's row, but for the number of the page."""
    offset = _page_offset(rows)
    texts = Counter(text for row in rows for text in row.without_page_number(offset))
    telling = [row for row in rows if any(texts[text] > 1 for text in row.without_page_number(offset))]
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
