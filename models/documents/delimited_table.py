"""CSV and TSV files as tables: a line a row, with the cells as in other tables, and the row's number as its place."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.delimited import find_delimiter, find_names
from models.documents.line_anchors import MAX_ANCHORS
from models.documents.tables import CELL_SEPARATOR, TableText
from models.location import Location

MAX_SAMPLE_LINES = 1_000  # a row may have many lines
MAX_ROW_LINES = 200  # a longer row was made by a quotation mark that nobody closed


@dataclass(frozen=True)
class _Row:
    """A row that is not blank: its number from 1, its first line from 0, and its text."""

    number: int
    line: int
    text: str


class NoTableError(Exception):
    """The lines have no cells, or cannot be told apart."""


def read_delimited(text: str) -> Document:
    """The table, after a paragraph if there is a title or a comment above the names of its columns.

    `text` is clean, blank lines at its beginning included: they are rows. Raises NoTableError.
    """
    lines = text.split("\n")
    sample = lines[:MAX_SAMPLE_LINES]
    delimiter = find_delimiter(sample)
    if not delimiter:
        raise NoTableError
    rows = _read_rows(lines, delimiter)
    first, end = find_names(sample)
    builder = DocumentBuilder()
    above = [row for row in rows if row.line < first]
    if above:
        builder.locate(Location("row", above[0].number, above[-1].number))
        builder.add("paragraph", "\n".join(line for line in lines[:first] if line.strip()))
    table = rows[len(above) :]
    numbers = _numbers(table)
    builder.locate(Location("row", 1, 1) if numbers else None)
    builder.add_table(TableText("\n".join(row.text for row in table), int(end > 0), numbers))
    return builder.build()


def _numbers(table: list[_Row]) -> tuple[int, ...]:
    """The numbers of the rows; none if so many blank rows are between them that each needs an anchor of its own."""
    numbers = tuple(row.number for row in table)
    num_gaps = sum(number != before + 1 for before, number in pairwise(numbers))
    return numbers if num_gaps < MAX_ANCHORS else ()


def _read_rows(lines: list[str], delimiter: str) -> list[_Row]:
    """The rows. Where quotation marks do not fit, they are read as characters."""
    quotings: tuple[Literal[0, 3], ...] = (csv.QUOTE_MINIMAL, csv.QUOTE_NONE)
    for quoting in quotings:
        try:
            return list(_rows(lines, delimiter, quoting))
        except (csv.Error, NoTableError):  # a cell longer than 131,072 characters, or a row without end
            continue
    raise NoTableError


def _rows(lines: list[str], delimiter: str, quoting: Literal[0, 3]) -> Iterator[_Row]:
    reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter, quoting=quoting)
    line = before = 0
    for number, cells in enumerate(reader, 1):
        before, line = line, reader.line_num
        if line - before > MAX_ROW_LINES:
            raise NoTableError
        text = CELL_SEPARATOR.join(_cell(cell) for cell in cells).rstrip(" |")
        if text:
            yield _Row(number, before, text)
    if quoting != csv.QUOTE_NONE and sum(map(_num_quotes, lines[before:])) % 2:
        raise NoTableError  # the last row has a quotation mark that nobody closed


def _num_quotes(line: str) -> int:
    return line.count('"')


def _cell(cell: str) -> str:
    return " ".join(cell.split()) if "\n" in cell or "\t" in cell else cell.strip()
