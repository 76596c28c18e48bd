"""Numbers of spreadsheets as their cells show them."""

import pytest

from models.documents.sheets.number_format import shown

ACCOUNTING = '_-* #,##0.00_-;-* #,##0.00_-;_-* "-"??_-;_-@_-'


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (0.256, "0%", "26%"),
        (0.256, "0.0%", "25.6%"),
        (1234567.891, "#,##0.00", "1,234,567.89"),
        (-1234.5, "#,##0.00;(#,##0.00)", "(1,234.50)"),
        (1234.5, "[$€-407]#,##0.00", "€1,234.50"),
        (1234.5, '#,##0.00\\ "€"', "1,234.50 €"),
        (-3.2, ACCOUNTING, "-3.20"),
        (0, ACCOUNTING, "-"),
        (5, "00000", "00005"),
        (1.5, "0.##", "1.5"),
        (2, "0.##", "2"),
        (1234567, '0.0,,"M"', "1.2M"),
        (12345, "0.00E+00", "1.23E+04"),
        (0.5, "# ?/?", "0.5"),
        (-5, "[Red]0;[Red]-0", "-5"),
        (0.1 + 0.2, "General", "0.3"),
        (3, 'General "kg"', "3 kg"),
        (1e20, "", "1e+20"),
        (46084, "yyyy-mm-dd", "2026-03-03"),
        (46084.5, "d/m/yyyy h:mm", "3/3/2026 12:00"),
        (46084.75, "d mmm yy h:mm AM/PM", "3 Mar 26 6:00 PM"),
        (46084, "[$-F800]dddd, mmmm dd, yyyy", "Tuesday, March 03, 2026"),
        (46084, "yyyy年m月d日", "2026年3月3日"),
        (1.5, "[h]:mm", "36:00"),
        (-1, "yyyy-mm-dd", "-1"),
        (1e300, "yyyy-mm-dd", "1e+300"),
        (7, "[" * 300, "[" * 255),
    ],
)
def test_numbers_are_read_as_shown(number: float, code: str, text: str) -> None:
    assert shown(number, code) == text


def test_workbooks_of_macs_count_from_1904() -> None:
    assert shown(0, "yyyy-mm-dd", is_1904=True) == "1904-01-01"
