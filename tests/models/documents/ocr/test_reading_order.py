"""Recognized lines in the order of a reader."""

from models.documents.ocr.reading_order import in_reading_order, with_even_heights
from models.documents.pdf.line import Line

ROW = "a line of some running text"


def line(text: str, left: float, top: float, width: float = 200, height: float = 12) -> Line:
    return Line(text, left, top - height, left + width, top)


def texts(lines: list[Line]) -> list[str]:
    return [each.text for each in in_reading_order(lines)]


def test_two_columns_are_read_one_after_the_other_below_their_title() -> None:
    columns = [line(f"{ROW} {side}{row}", 50 + 260 * side, 700 - 20 * row) for row in range(5) for side in (0, 1)]

    order = texts([line("The title goes over both columns", 60, 730, width=430), *columns])

    assert order == ["The title goes over both columns"] + [f"{ROW} {side}{row}" for side in (0, 1) for row in range(5)]


def test_rows_of_a_table_stay_rows() -> None:
    cells = [
        line(f"{name}{row}", 50 + 200 * at, 700 - 20 * row, 60) for row in range(6) for at, name in enumerate("ab")
    ]

    assert texts(cells) == [f"{name}{row}" for row in range(6) for name in "ab"]


def test_pieces_of_a_row_that_lie_a_little_apart_are_one_row() -> None:
    assert texts([line("right", 300, 702), line("left", 50, 700), line("below", 50, 680)]) == ["left", "right", "below"]


def test_letters_without_strokes_below_make_no_other_height() -> None:
    lines = [line("apply", 0, 700, height=14), line("seen as", 0, 680, height=11), line("Title", 0, 720, height=30)]

    assert [round(each.height) for each in with_even_heights(lines)] == [14, 14, 30]
