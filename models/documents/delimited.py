"""Tables in plain text: CSV, tab-separated lines, and tables drawn with bars and dashes."""

import csv
import re
from collections import Counter
from itertools import islice

DELIMITERS = ",;\t|"
SAMPLE_ROWS = 200
MIN_REGULAR_FRACTION = 0.5  # of the sampled rows have as many cells as most
NUMBER = re.compile(r"[-+(]?\s?[$€£¥]?\s?\d[\d.,'\s]*(?:%|[eE][-+]?\d+)?\s?[€%)]?")
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}(?:[-/.]\d{1,4})?(?:[ T]\d{1,2}:\d{2}.*)?")
YEAR = re.compile(r"(?:19|20)\d\d")
BORDER = re.compile(r"[-=+|: ]+")
MAX_NAME_LINES = 6
MIN_DRAWN_LINES = 3


def find_names(lines: list[str]) -> tuple[int, int]:
    """The first line of the column names of delimited lines, and the line after them. (0, 0) if none are.

    Lines before the names have another number of cells: a report's title, a comment.
    """
    best: tuple[float, int, int, int] = (0.0, 0, 0, 0)
    for delimiter in DELIMITERS:
        rows = _rows(lines, delimiter)
        width, fraction = _regularity(rows)
        if width > 1 and fraction >= MIN_REGULAR_FRACTION:
            first = next(number for number, (cells, _) in enumerate(rows) if len(cells) == width)
            if are_names(rows[first][0], [cells for cells, _ in rows[first + 1 :] if len(cells) == width]):
                start = rows[first - 1][1] if first else 0
                best = max(best, (fraction, width, start, rows[first][1]))
    return best[2], best[3]


def find_delimiter(lines: list[str]) -> str:
    """What separates the cells of delimited lines; "" if nothing does."""
    best: tuple[float, int, str] = (0.0, 0, "")
    for delimiter in DELIMITERS:
        width, fraction = _regularity(_rows(lines, delimiter))
        if width > 1 and fraction >= MIN_REGULAR_FRACTION:
            best = max(best, (fraction, width, delimiter))
    return best[2]


def _regularity(rows: list[tuple[list[str], int]]) -> tuple[int, float]:
    """The number of cells of most rows, and the fraction of the rows that have as many."""
    if not rows:
        return 0, 0.0
    width, num_regular = Counter(len(cells) for cells, _ in rows).most_common(1)[0]
    return width, num_regular / len(rows)


def _rows(lines: list[str], delimiter: str) -> list[tuple[list[str], int]]:
    """The cells of each row that is not blank, and the number of lines up to its end."""
    reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter)
    rows: list[tuple[list[str], int]] = []
    try:
        for cells in islice(reader, SAMPLE_ROWS):
            if cells:
                rows.append((cells, reader.line_num))
    except csv.Error:  # a cell longer than 131,072 characters
        return []
    return rows


def are_names(first: list[str], rows: list[list[str]]) -> bool:
    """Whether the first row names the columns: it has no figures but years, or stands above figures."""
    if not rows or sum(1 for cell in first if cell.strip()) * 2 < len(first):
        return False
    figures = [_is_figure(cell) for cell in first]
    if not any(figures):
        return True
    if all(YEAR.fullmatch(cell.strip()) for cell, is_figure in zip(first, figures, strict=True) if is_figure):
        return not all(figures)
    return False


def _is_figure(cell: str) -> bool:
    text = cell.strip()
    return bool(NUMBER.fullmatch(text) or DATE.fullmatch(text))


def num_drawn_names(lines: list[str]) -> int:
    """The number of lines with the column names of a table drawn in plain text; 0 if the lines are no such table."""
    if len(lines) < MIN_DRAWN_LINES or not _is_drawn(lines):
        return 0
    borders = [number for number, line in enumerate(lines[:MAX_NAME_LINES]) if _is_border(line)]
    strong = [number for number in borders[1:] if "=" in lines[number]]
    if strong:
        return strong[0] + 1
    below_names = [number for number in borders if number > 0]
    return below_names[0] + 1 if below_names else 1


def _is_drawn(lines: list[str]) -> bool:
    is_simple = len(lines) > MIN_DRAWN_LINES and all(re.fullmatch(r"=+(?: +=+)+", lines[at].strip()) for at in (0, 2))
    num_tabs = {line.strip().count("\t") for line in lines}
    num_bars = {line.count("|") for line in lines if not _is_border(line)}
    return is_simple or (len(num_tabs) == 1 and min(num_tabs) > 0) or (len(num_bars) == 1 and min(num_bars) > 0)


def _is_border(line: str) -> bool:
    return ("--" in line or "==" in line) and bool(BORDER.fullmatch(line.strip()))
