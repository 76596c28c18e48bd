"""Tables of Markdown with rows wider than their header: rendering drops the cells beyond it."""

import re
from collections.abc import Iterator

import pyromark

# The line below a table's header, such as `|---|:-:|`.
DELIMITER_ROW = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*+\|?")
CELL_END = re.compile(r"(?<!\\)\|")
AROUND_ROW = "> \t"  # a table may stand in a quotation
MAX_COLUMNS = 1_000


def widen_tables(text: str, options: pyromark.Options) -> str:
    """The text with columns without a name for the cells that its headers do not cover. Lines stay where they are."""
    lines = text.split("\n")
    narrow = dict(_narrow_tables(lines))
    if not narrow:
        return text
    for number in narrow.keys() & _first_lines_of_tables(text, options):
        lines[number] = _widened(lines[number], narrow[number], " ")
        lines[number + 1] = _widened(lines[number + 1], narrow[number], "-")
    return "\n".join(lines)


def _narrow_tables(lines: list[str]) -> Iterator[tuple[int, int]]:
    """What may be a table with wider rows: the line of its header, from 0, and the number of columns it lacks."""
    number = 1
    while number < len(lines):
        if not _is_delimiter(lines[number]):
            number += 1
            continue
        header = number - 1
        num_columns = widest = _num_cells(lines[number])
        number += 1
        while number < len(lines) and lines[number].strip(AROUND_ROW):
            widest = max(widest, _num_cells(lines[number]))
            number += 1
        if num_columns < widest <= MAX_COLUMNS:
            yield header, widest - num_columns


def _is_delimiter(line: str) -> bool:
    return "-" in line and "|" in line and DELIMITER_ROW.fullmatch(line.strip(AROUND_ROW)) is not None


def _num_cells(line: str) -> int:
    row = line.strip(AROUND_ROW)
    ends = [match.start() for match in CELL_END.finditer(row)]
    return len(ends) + 1 - row.startswith("|") - bool(ends and len(row) > 1 and ends[-1] == len(row) - 1)


def _widened(row: str, num_columns: int, cell: str) -> str:
    stripped = row.rstrip()
    return stripped + ("" if stripped.endswith("|") else "|") + f"{cell}|" * num_columns


def _first_lines_of_tables(text: str, options: pyromark.Options) -> frozenset[int]:
    """The lines, from 0, that begin a table of the rendered text."""
    source = text.encode()
    position = line = 0
    lines = set()
    for event, span in pyromark.events_with_range(text, options=options):
        start = event.get("Start") if isinstance(event, dict) else None
        if isinstance(start, dict) and "Table" in start:
            line += source.count(b"\n", position, span["start"])
            position = span["start"]
            lines.add(line)
    return frozenset(lines)
