"""Rows become documents with attributes, or one clear reason why not."""

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.parquet import write_table

from serve.cli.ingest.bulk import rows
from serve.cli.ingest.bulk.documents import Source, SourceDocument, UnreadableSource
from serve.cli.ingest.bulk.options import RowOptions
from serve.cli.ingest.bulk.rows import document_of, jsonl_documents, lines_of, parquet_documents


def parse(content: bytes, **options: Any) -> list[Source]:
    return list(jsonl_documents(io.BytesIO(content), "a.jsonl", RowOptions(**options)))


def reason(row: dict[str, Any], **options: Any) -> str:
    source = document_of(row, 7, "a.jsonl", RowOptions(**options))
    assert isinstance(source, UnreadableSource)
    assert source.name == "a.jsonl, row 7"
    return source.reason


def attributes(row: dict[str, Any], **options: Any) -> Any:
    source = document_of({"text": "x"} | row, 1, "a", RowOptions(**options))
    assert isinstance(source, SourceDocument)
    return source.attributes


def test_each_line_is_a_document_and_a_wrong_one_stops_no_other() -> None:
    content = "\ufeff".encode() + '{"text": "größer"}\r\n\n[1]\n{"text": \n{"text": "last"}'.encode()

    first, number, broken, last = parse(content)

    assert isinstance(first, SourceDocument)
    assert (first.name, first.read().decode(), first.size_bytes) == ("a.jsonl/1.txt", "größer", 8)
    assert number == UnreadableSource("a.jsonl, line 3", "the line is not a JSON object")
    assert isinstance(broken, UnreadableSource)
    assert broken.reason.startswith("the line is not JSON: ")
    assert last.name == "a.jsonl/5.txt"


@pytest.mark.parametrize("line", [b"\xff\xfe", b"[" * 100_000, b'{"text": "\\ud800"}', b"nul\x00l", b'{"text": NaN}'])
def test_a_hostile_line_is_one_reason(line: bytes) -> None:
    (source,) = parse(line)

    assert isinstance(source, UnreadableSource)


def test_a_line_without_end_is_refused_and_the_next_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_LINE_BYTES", 100)
    monkeypatch.setattr(rows, "BLOCK_BYTES", 30)

    long, short, end = parse(b'{"text": "' + b"x" * 500 + b'"}\n{"text": "y"}\n' + b"z" * 101)

    assert isinstance(long, UnreadableSource)
    assert "longer than 100 bytes" in long.reason
    assert isinstance(short, SourceDocument)
    assert isinstance(end, UnreadableSource)


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line)), st.integers(1, 50))
def test_lines_do_not_depend_on_the_size_of_blocks(lines: list[bytes], size: int) -> None:
    class Slow(io.BytesIO):
        def read(self, _: int | None = -1) -> bytes:
            return super().read(size)

    content = b"\n".join(lines)
    expected = content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if size >= 3 else content.split(b"\n")
    if expected[-1] == b"":
        expected.pop()

    assert list(lines_of(Slow(content))) == expected


def test_values_that_can_be_attributes_are_kept() -> None:
    row = {
        "name": "é",
        "num": 3,
        "share": 0.5,
        "is_new": True,
        "day": date(2026, 2, 1),
        "at": datetime(2026, 2, 1, 12, tzinfo=UTC),
        "price": Decimal("1.50"),
        "nothing": None,
        "nested": {"a": 1},
        "many": [1],
        "long": "x" * 513,
        "k" * 65: 1,
        "nan": float("nan"),
    }

    assert attributes(row) == {
        "name": "é",
        "num": 3,
        "share": 0.5,
        "is_new": True,
        "day": "2026-02-01",
        "at": "2026-02-01T12:00:00+00:00",
        "price": 1.5,
    }


def test_chosen_columns_alone_become_attributes() -> None:
    row = {str(number): number for number in range(20)}

    assert "20 attributes; at most 16 are allowed: choose some with --attribute" in reason({"text": "x"} | row)
    assert attributes(row, attribute_columns=("3", "absent")) == {"3": 3}
    assert attributes(row, attribute_columns=()) == {}


def test_a_row_without_text_or_id_says_what_to_do() -> None:
    assert reason({"body": "x"}) == "has no column 'text'; choose one with --text-column: body"
    for text in ("", "  \n", None, 3, ["x"]):
        assert reason({"text": text}) == "has no text in column 'text'"
    for row_id in ("", None, 1.5, True, {}):
        assert "in its column 'id'" in reason({"text": "x", "id": row_id}, id_column="id")
    assert "201 characters" in reason({"text": "x", "id": "i" * 201}, id_column="id")


def test_an_id_names_the_row() -> None:
    row = {"text": "x", "id": "AB/7 ü"}

    assert document_of(row, 3, "a.jsonl", RowOptions(id_column="id")).name == "a.jsonl/AB/7 ü.txt"
    assert document_of(row | {"id": 12}, 3, "a.jsonl", RowOptions(id_column="id")).name == "a.jsonl/12.txt"


def test_a_large_table_is_read_batch_by_batch(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(pa.table({"text": [f"text {number}" for number in range(1_000)], "n": range(1_000)}), path)

    with path.open("rb") as file:
        documents = parquet_documents(file, "a.parquet", RowOptions())
        first = next(documents)
        others = list(documents)

    assert isinstance(first, SourceDocument)
    assert (first.name, first.read(), first.attributes) == ("a.parquet/1.txt", b"text 0", {"n": 0})
    assert [source.name for source in others][-1] == "a.parquet/1000.txt"
    assert len(others) == 999


def test_a_table_of_large_rows_is_not_in_memory_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"{number} " + "x" * 500_000 for number in range(60)]})
    write_table(table, path, compression="none", use_dictionary=False, write_batch_size=1)
    before = pa.total_allocated_bytes()

    with path.open("rb") as file:
        sizes, allocated = [], 0
        for document in parquet_documents(file, "a.parquet", RowOptions()):
            assert isinstance(document, SourceDocument)
            sizes.append(document.size_bytes)
            allocated = max(allocated, pa.total_allocated_bytes() - before)

    assert (len(sizes), min(sizes) > 500_000) == (60, True)
    assert allocated < 15_000_000  # of 30 MB
