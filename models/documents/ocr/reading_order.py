"""The order in which a reader takes the recognized lines of a page: row by row, and column by column."""

import statistics

from models.documents.pdf.line import Line

MIN_COLUMN_LINES = 4
MIN_COLUMN_CHARS = 18  # of a column's lines, on average; the cells of a table are shorter
MAX_CROSSING = 0.34  # of the lines may cross the gap between columns, as titles do
MARGIN = 0.2  # of the width; no gap between columns is nearer to the edge
NUM_STEPS = 60
MAX_COLUMN_SPLITS = 3
SAME_HEIGHT = (0.7, 1.45)  # times the usual height: letters with and without a stroke below the line


def in_reading_order(lines: list[Line], num_splits: int = MAX_COLUMN_SPLITS) -> list[Line]:
    """The lines of a page. A line that crosses the gap between two columns separates what is above and below it."""
    gap = _gap(lines) if num_splits else None
    if gap is None:
        return by_rows(lines)
    ordered: list[Line] = []
    band: list[Line] = []
    for line in sorted(lines, key=lambda line: -line.top):
        if line.left < gap < line.right:
            ordered += [*_columns(band, gap, num_splits), line]
            band = []
        else:
            band.append(line)
    return ordered + _columns(band, gap, num_splits)


def _columns(lines: list[Line], gap: float, num_splits: int) -> list[Line]:
    left, right = [line for line in lines if line.right <= gap], [line for line in lines if line.left >= gap]
    return in_reading_order(left, num_splits - 1) + in_reading_order(right, num_splits - 1)


def _gap(lines: list[Line]) -> float | None:
    """Where the white space between two columns of text is, or None for a page without columns."""
    if len(lines) < 2 * MIN_COLUMN_LINES:
        return None
    first, last = min(line.left for line in lines), max(line.right for line in lines)
    places = [first + (last - first) * (MARGIN + (1 - 2 * MARGIN) * step / NUM_STEPS) for step in range(NUM_STEPS + 1)]
    num_crossing = [sum(line.left < place < line.right for line in lines) for place in places]
    fewest = min(num_crossing)
    widest = [place for place, count in zip(places, num_crossing, strict=True) if count == fewest]
    gap = widest[len(widest) // 2]
    sides = ([line for line in lines if line.right <= gap], [line for line in lines if line.left >= gap])
    is_gap = fewest <= MAX_CROSSING * len(lines) and all(_is_column(side) for side in sides)
    return gap if is_gap else None


def _is_column(lines: list[Line]) -> bool:
    return len(lines) >= MIN_COLUMN_LINES and statistics.mean(len(line.text) for line in lines) >= MIN_COLUMN_CHARS


def by_rows(lines: list[Line]) -> list[Line]:
    """The lines from the top, and those of one row from the left."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (-line.top - line.bottom, line.left)):
        if rows and rows[-1][0].shares_row_with(line):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.left)]


def with_even_heights(lines: list[Line]) -> list[Line]:
    """Boxes of recognized lines follow their letters. Those of about the usual height get it, around their middle."""
    if not lines:
        return []
    heights = sorted((line.height, len(line.text)) for line in lines)
    usual = statistics.median([height for height, num_chars in heights for _ in range(min(num_chars, 200))] or [1.0])
    return [_evened(line, usual) for line in lines]


def _evened(line: Line, height: float) -> Line:
    if not SAME_HEIGHT[0] * height <= line.height <= SAME_HEIGHT[1] * height:
        return line
    middle = (line.bottom + line.top) / 2
    return Line(line.text, line.left, middle - height / 2, line.right, middle + height / 2)
