"""Superscripts, subscripts and struck-out text are not read as what they are not."""

import pytest

from models.documents.spans import Span, plain_text


@pytest.mark.parametrize(
    ("spans", "text"),
    [
        ([Span("10"), Span("6", "super"), Span(" events")], "10^6 events"),
        ([Span("10"), Span("-", "super"), Span("3", "super"), Span("4 m")], "10^-3 4 m"),
        ([Span("e"), Span("x + 1", "super")], "e^(x + 1)"),
        ([Span("the 21"), Span("st", "super"), Span(" of May")], "the 21st of May"),
        ([Span("H"), Span("2", "sub"), Span("O")], "H2O"),
        ([Span("log"), Span("2", "sub"), Span("16")], "log_2 16"),
        ([Span("1010"), Span("2", "sub"), Span(" is ten")], "1010_2 is ten"),
        (
            [Span("x"), Span("i", "sub"), Span(" and Al"), Span("2", "sub"), Span("(SO"), Span("4", "sub")],
            "x_i and Al2(SO4",
        ),
        ([Span("Windhover"), Span("TM", "super"), Span(" 9")], "WindhoverTM 9"),
        ([Span("1998"), Span("[3]", "super")], "1998[3]"),
        ([Span("1", "super"), Span(" see page 2")], "1 see page 2"),
        ([Span("10"), Span(" ", "super"), Span("events")], "10 events"),
    ],
)
def test_a_script_is_no_part_of_the_number_before_it(spans: list[Span], text: str) -> None:
    assert plain_text(spans) == text


def test_struck_out_text_is_marked_once_however_it_is_cut() -> None:
    spans = [
        Span("The fee is "),
        Span("5", is_struck=True),
        Span("00 ", is_struck=True),
        Span("750"),
        Span(" ", is_struck=True),
    ]

    assert plain_text(spans) == "The fee is ~~500~~ 750 "


def test_a_struck_out_power_keeps_both() -> None:
    assert plain_text([Span("10", is_struck=True), Span("6", "super", True), Span(" 12")]) == "~~10^6~~ 12"
