"""Anchors are stored as text, and tell where characters stand."""

import pytest

from models.location import MAX_SHEET_CHARS, Anchor, Location, encode_anchors, locate

TEXT = "Page three ends\nhere. Page four begins."
PAGES = encode_anchors([Anchor(100, Location("page", 3, 3)), Anchor(122, Location("page", 4, 4))])


def located(source_map: str, text: str, start: int, end: int, text_start: int = 0) -> str:
    return str(locate(source_map, text, text_start, start, end))


def test_a_text_stands_on_the_pages_of_its_first_and_last_character() -> None:
    assert located(PAGES, TEXT, 100, 121, 100) == "page 3"
    assert located(PAGES, TEXT, 122, 139, 100) == "page 4"
    assert located(PAGES, TEXT, 100, 139, 100) == "pages 3-4"
    assert located(PAGES, TEXT, 121, 139, 100) == "page 4"  # a space at the end of page 3 is no text


def test_lines_are_counted_from_the_anchor() -> None:
    source_map = encode_anchors([Anchor(5, Location("line", 7, 7), counts_lines=True)])

    assert located(source_map, "a\n\nb\nc\n", 5, 12, 5) == "lines 7-10"
    assert located(source_map, "a\n\nb\nc\n", 6, 9, 5) == "line 9"
    assert located(source_map, "a\n\nb\nc\n", 11, 12, 5) == "None"


def test_text_of_several_sheets_stands_at_the_rows_of_the_first() -> None:
    rows = [Anchor(0, Location("row", 2, 2, "Ä, B"), True), Anchor(4, Location("row", 9, 9, "C"))]
    source_map = encode_anchors(rows)

    assert located(source_map, "a\nb\nc", 0, 5) == "sheet Ä, B, rows 2-3"
    assert located(source_map, "a\nb\nc", 4, 5) == "sheet C, row 9"


def test_the_file_inside_an_archive_is_named() -> None:
    lines = Anchor(0, Location("line", 2, 2).inside("a.md").inside("docs.eml"), counts_lines=True)
    rows = Anchor(4, Location("row", 9, 9, "C").inside("b.xlsx"))
    source_map = encode_anchors([lines, rows])

    assert located(source_map, "a\nb\nc", 0, 5) == "docs.eml/a.md, lines 2-3"  # a passage of two files: the first one
    assert located(source_map, "a\nb\nc", 4, 5) == "b.xlsx, sheet C, row 9"
    place = locate(source_map, "a\nb\nc", 0, 4, 5)
    assert place is not None
    assert place.to_json() == {"member": "b.xlsx", "sheet": "C", "row": 9, "last_row": 9, "label": str(place)}


def test_text_that_stands_nowhere_has_no_location() -> None:
    source_map = encode_anchors([Anchor(2, Location("slide", 1, 1)), Anchor(4, None)])

    assert [located(source_map, "abcdef", at, at + 1) for at in range(6)] == ["None"] * 2 + ["slide 1"] * 2 + [
        "None"
    ] * 2
    assert located("", "abcdef", 0, 6) == "None"
    assert located(source_map, "", 0, 0) == located(source_map, "abcdef", 3, 2) == "None"


def test_the_api_has_numbers_and_a_label() -> None:
    assert Location("page", 3, 4).to_json() == {"page": 3, "last_page": 4, "label": "pages 3-4"}
    row = {"sheet": "Budget", "row": 7, "last_row": 7, "label": "sheet Budget, row 7"}
    assert Location("row", 7, 7, "Budget").to_json() == row


@pytest.mark.parametrize(
    ("sheet", "stored"),
    [
        ("a\0b\nc\x1b[31m", "a b c [31m"),
        ("\ud800x", "x"),
        ("予算 2024", "予算 2024"),
        ("x" * 5000, "x" * MAX_SHEET_CHARS),
        ('"],[0', '"],[0'),
    ],
)
def test_the_name_of_a_sheet_is_bounded_and_harmless(sheet: str, stored: str) -> None:
    source_map = encode_anchors([Anchor(0, Location("row", 1, 1, sheet))])

    location = locate(source_map, "cell", 0, 0, 4)

    assert location is not None
    assert location.sheet == stored
    source_map.encode()
    assert "\0" not in source_map
