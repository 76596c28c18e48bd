"""JSON values as blocks: records that are alike as a table, others as lines of paths and values."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from models.documents.builder import DocumentBuilder
from models.documents.records.lines import plain, value_lines
from models.documents.tables import Cell, table_text
from models.location import Location

MIN_ROWS = 2
MAX_COLUMNS = 40
MAX_CELL_CHARS = 80


def append_value(value: Any, builder: DocumentBuilder) -> None:
    """Add a document's value. Each record of a list, and each member of an object with an inner value, is a block."""
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        append_records(value, builder)
    elif isinstance(value, dict):
        _append_object(value, builder)
    else:
        _append_lines(value, builder)


def append_records(
    records: list[Any], builder: DocumentBuilder, path: str = "", line_numbers: Sequence[int] = ()
) -> None:
    """Add a list: a table if all records have the same short plain values, else a block each.

    `line_numbers`: the line of each record, in a file of one record a line.
    """
    if _is_table(records):
        names = list(records[0])
        rows = [[Cell(plain(record[name]).replace("\n", " ")) for name in names] for record in records]
        if path:
            builder.add("heading", path, 2)
        table = table_text([[Cell(str(name), is_header=True) for name in names], *rows], 1)
        if line_numbers:
            builder.locate(_line(line_numbers[0]))
            shown = (number for number, row in zip(line_numbers, rows, strict=True) if any(cell.text for cell in row))
            table = replace(table, row_numbers=(line_numbers[0], *shown))
        builder.add_table(table)
        return
    for place, record in enumerate(records):
        if line_numbers:
            builder.locate(_line(line_numbers[place]))
        _append_lines(record, builder, f"{path}[{place}]" if path else "")


def _append_object(value: dict[str, Any], builder: DocumentBuilder) -> None:
    members = {key: inner for key, inner in value.items() if isinstance(inner, dict | list)}
    _append_lines({key: inner for key, inner in value.items() if key not in members}, builder)
    for key, inner in members.items():
        if isinstance(inner, list) and any(isinstance(item, dict) for item in inner):
            append_records(inner, builder, key)
        else:
            _append_lines(inner, builder, key)


def _append_lines(value: Any, builder: DocumentBuilder, path: str = "") -> None:
    """A block that is cut between lines only."""
    builder.add("table", "\n".join(value_lines(value, path)))


def _line(number: int) -> Location:
    return Location("line", number, number)


def _is_table(records: list[Any]) -> bool:
    first = records[0] if records else None
    if len(records) < MIN_ROWS or not isinstance(first, dict) or not 1 < len(first) <= MAX_COLUMNS:
        return False
    return all(
        isinstance(record, dict)
        and record.keys() == first.keys()
        and all(_is_short(value) for value in record.values())
        for record in records
    )


def _is_short(value: Any) -> bool:
    return not isinstance(value, dict | list) and len(plain(value)) <= MAX_CELL_CHARS
