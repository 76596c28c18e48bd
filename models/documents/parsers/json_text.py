"""JSON, and JSON in lines (.jsonl): readable paths and values, record by record."""

import json
from pathlib import PurePath
from typing import Any

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.encoding import Decoded, decode
from models.documents.options import NoOptions
from models.documents.records.json_values import append_records, append_value
from models.documents.records.lines import number
from models.documents.signatures import signature_of

LINES = frozenset([".jsonl", ".ndjson"])
BROKEN_LINES = "lines that are not JSON"
MAX_BROKEN_FRACTION = 0.5


class JsonParser:
    """A Parser of kind `json`."""

    config_class = NoOptions

    def __init__(self, name: str, config: NoOptions) -> None:
        """Nothing to load."""

    def recognizes(self, content: bytes) -> bool:
        """Whether a file of no known extension is JSON as a whole."""
        head = content[:256].removeprefix(b"\xef\xbb\xbf").lstrip()
        if not head.startswith((b"{", b"[")) or signature_of(content) is not None:
            return False
        try:
            json.loads(content, parse_int=number, parse_float=number)
        except (ValueError, RecursionError):
            return False
        return True

    def parse(self, content: bytes, filename: str) -> Document:
        """The values. A file that is not JSON, such as one with comments, is read as it is, with a doubt."""
        decoded = decode(content, filename)
        builder = DocumentBuilder()
        builder.doubt = decoded.doubt
        is_lines = PurePath(filename).suffix.lower() in LINES
        if not (is_lines and _append_lines(decoded, builder)):
            _append_whole(decoded, builder)
        return builder.build()


def _append_whole(decoded: Decoded, builder: DocumentBuilder) -> None:
    try:
        append_value(_loads(decoded.text), builder)
    except ValueError as error:
        if not _append_lines(decoded, builder):
            builder.doubt = builder.doubt or f"not valid JSON ({error}); it was read as plain text"
            builder.add("code", decoded.text)


def _append_lines(decoded: Decoded, builder: DocumentBuilder) -> bool:
    """Add a record for each line. False, and nothing added, if most lines are not JSON objects or lists."""
    lines = {place: line for place, line in enumerate(decoded.text.split("\n"), 1) if line.strip()}
    records: dict[int, Any] = {}
    for line_number, line in lines.items():
        try:
            record = _loads(line)
        except ValueError:
            continue
        if isinstance(record, dict | list):
            records[line_number] = record
    if not records or len(lines) - len(records) > MAX_BROKEN_FRACTION * len(lines):
        return False
    builder.omit(BROKEN_LINES, len(lines) - len(records))
    append_records(list(records.values()), builder, line_numbers=list(records))
    return True


def _loads(text: str) -> Any:
    """Numbers stay as they are written. Raises ValueError, and RecursionError for deep nesting."""
    return _DECODER.decode(text.removeprefix("\ufeff"))


def _with_every_value(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. A key that it has several times gets the list of its values."""
    values = dict(pairs)
    if len(values) == len(pairs):
        return values
    by_key: dict[str, list[Any]] = {}
    for key, value in pairs:
        by_key.setdefault(key, []).append(value)
    return {key: several if len(several) > 1 else several[0] for key, several in by_key.items()}


_DECODER = json.JSONDecoder(
    parse_int=number, parse_float=number, parse_constant=number, object_pairs_hook=_with_every_value
)
