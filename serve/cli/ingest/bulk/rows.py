"""Rows of JSONL and Parquet as documents: one column is the text, others become attributes."""

import math
from collections.abc import Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from functools import partial
from typing import Any, BinaryIO

import orjson

from models.filters import Attributes
from serve.cli.ingest.bulk.documents import Source, SourceDocument, UnreadableSource
from serve.cli.ingest.bulk.options import RowOptions

BLOCK_BYTES = 1024**2
MAX_LINE_BYTES = 64 * 1024**2  # the default api.max_upload_bytes
PARQUET_ROWS, PARQUET_BYTES = 64, 4 * 1024**2  # read at once, at most
# The API's limits of attributes.
MAX_ATTRIBUTES, MAX_KEY_CHARS, MAX_VALUE_CHARS = 16, 64, 512
MAX_ID_CHARS = 200
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def jsonl_documents(file: BinaryIO, name: str, options: RowOptions) -> Iterator[Source]:
    """A document a line. A line that is none is reported, and the next ones are read."""
    for number, line in enumerate(lines_of(file), 1):
        place = f"{name}, line {number}"
        if line is None:
            yield UnreadableSource(place, f"the line is longer than {MAX_LINE_BYTES} bytes")
            continue
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield UnreadableSource(place, f"the line is not JSON: {error}")
            continue
        if isinstance(row, dict):
            yield document_of(row, number, name, options)
        else:
            yield UnreadableSource(place, "the line is not a JSON object")


def parquet_documents(file: BinaryIO, name: str, options: RowOptions) -> Iterator[Source]:
    """A document a row. Memory holds some rows, and a page of each column."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        # By default the whole row group is read first: a file of one group would be in memory at once.
        table = ParquetFile(file, buffer_size=BLOCK_BYTES, pre_buffer=False)
        columns = list(table.schema_arrow.names)
        needed = {options.text_name, options.id_column, *(options.attribute_columns or ())} - {None}
        if missing := sorted(map(str, needed - set(columns))):
            yield UnreadableSource(name, f"has no column {', '.join(missing)}; its columns are {', '.join(columns)}")
            return
        selected = columns if options.attribute_columns is None else sorted(map(str, needed))
        number = 0
        for batch in table.iter_batches(_rows_at_once(table.metadata), columns=selected, use_threads=False):
            for row in batch.to_pylist():
                number += 1
                yield document_of(row, number, name, options)
    except ArrowException as error:
        yield UnreadableSource(name, f"is not readable Parquet: {error}")


def _rows_at_once(metadata: Any) -> int:
    """Few rows if they are large, by the average of each row group."""
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    row_bytes = max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=0)
    return max(1, min(PARQUET_ROWS, PARQUET_BYTES // max(1, row_bytes)))


def document_of(row: Mapping[str, Any], number: int, name: str, options: RowOptions) -> Source:
    """The document of one row."""
    place = f"{name}, row {number}"
    try:
        text = _text(row, options.text_name)
        row_id = str(number) if options.id_column is None else _row_id(row, options.id_column)
        attributes = _attributes(row, options)
    except ValueError as error:
        return UnreadableSource(place, str(error))
    content = text.encode(errors="replace")
    return SourceDocument(f"{name}/{row_id}.{options.text_format}", len(content), partial(_same, content), attributes)


def lines_of(file: BinaryIO) -> Iterator[bytes | None]:
    """The lines without their ends. None for a line that is too long, of which no more than the limit is in memory."""
    line, is_too_long = bytearray(), False
    start = file.read(len(BYTE_ORDER_MARK))
    block = start.removeprefix(BYTE_ORDER_MARK) + file.read(BLOCK_BYTES)
    while block:
        *ended, last = block.split(b"\n")
        for piece in ended:
            line += piece
            yield None if is_too_long or len(line) > MAX_LINE_BYTES else bytes(line)
            line, is_too_long = bytearray(), False
        line += last
        if len(line) > MAX_LINE_BYTES:
            line, is_too_long = bytearray(), True
        block = file.read(BLOCK_BYTES)
    if line or is_too_long:
        yield None if is_too_long else bytes(line)


def _same(content: bytes) -> bytes:
    return content


def _text(row: Mapping[str, Any], column: str) -> str:
    if column not in row:
        raise ValueError(f"has no column {column!r}; choose one with --text-column: {', '.join(row) or 'none'}")
    text = row[column]
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"has no text in column {column!r}")
    return text


def _row_id(row: Mapping[str, Any], column: str) -> str:
    row_id = row.get(column)
    if isinstance(row_id, bool) or not isinstance(row_id, str | int) or not str(row_id).strip():
        raise ValueError(f"has no text or whole number in its column {column!r}")
    if len(str(row_id)) > MAX_ID_CHARS:
        raise ValueError(f"has an id of {len(str(row_id))} characters; at most {MAX_ID_CHARS} are allowed")
    return str(row_id)


def _attributes(row: Mapping[str, Any], options: RowOptions) -> Attributes:
    """The columns that can be attributes. Nested, long and missing values cannot."""
    names = options.attribute_columns
    columns = [name for name in row if name != options.text_name] if names is None else names
    attributes = {name: value for name in columns if (value := _attribute(name, row.get(name))) is not None}
    if len(attributes) > MAX_ATTRIBUTES:
        raise ValueError(
            f"has {len(attributes)} attributes; at most {MAX_ATTRIBUTES} are allowed: choose some with --attribute"
        )
    return attributes


def _attribute(name: str, value: Any) -> str | bool | int | float | None:
    if len(name) > MAX_KEY_CHARS or not name:
        return None
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, str):
        return value if len(value) <= MAX_VALUE_CHARS else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int) else None
