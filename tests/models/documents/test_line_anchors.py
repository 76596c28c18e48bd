"""Plain text stands at the lines of its file, tables in it at its rows."""

import csv
import io

import pytest

from models.documents.line_anchors import MAX_ANCHORS
from models.documents.parse import parse
from tests.models.documents.test_places import place_of

RFC = "Title of the memo\n\n[Page 1]\n\f\nMemo header\n\nSecond page text\nand more.\f\vLast words\u2028here\n"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_text_stands_at_its_lines_whatever_ends_them(line_end: str) -> None:
    lines = ["", "", "def keel():", "    return 7", "", "", "# 帆 sails", "x = 1", ""]

    document = parse(line_end.join(lines).encode(), "a.txt")

    assert place_of(document, "def keel") == "line 3"
    assert place_of(document, "return 7") == "line 4"
    assert place_of(document, "帆 sails\nx") == "lines 7-8"


def test_a_form_feed_is_no_line() -> None:
    lines = RFC.split("\n")

    document = parse(RFC.encode(), "rfc.txt")

    for words in ("Title", "Memo header", "Second page", "and more", "Last words", "here"):
        (number,) = [at for at, line in enumerate(lines, 1) if words in line]
        assert place_of(document, words) == f"line {number}"


def test_a_row_may_have_several_lines() -> None:
    rows = [
        ["name", "note"],
        ["oven", "hot\n\nvery hot"],
        [],
        ["mill", 'has a "stone"'],
        ["pump", "a\nb"],
        ["saw", "sharp"],
    ]
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)

    document = parse(f"\n\n{written.getvalue()}".encode(), "a.csv")

    assert place_of(document, "name") == "row 3"
    assert place_of(document, "hot very hot") == "row 4"
    assert place_of(document, "mill") == "row 6"
    assert place_of(document, "pump | a b\nsaw") == "rows 7-8"
    assert place_of(document, "sharp") == "row 8"


def test_a_stray_quote_ends_nothing() -> None:
    rows = [f'{number};pipe of 5" width;{number * 7}' for number in range(1, 50)]

    document = parse("\n".join(["id;text;price", *rows]).encode(), "a.csv")

    assert place_of(document, "49 | pipe") == "row 50"


@pytest.mark.parametrize("content", ["\f" * 300_000, '"\n"\n' * (MAX_ANCHORS // 2 + 2)], ids=["form feeds", "rows"])
def test_a_file_that_needs_too_many_anchors_has_none(content: str) -> None:
    assert parse(f"a{content}b".encode(), "a.csv").anchors in ((), parse(b"a", "a.csv").anchors)
    assert parse(f"a{content}b".encode(), "a.txt").anchors in ((), parse(b"a", "a.txt").anchors)
