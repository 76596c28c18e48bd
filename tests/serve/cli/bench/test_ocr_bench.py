"""The benchmark of recognized text: its pages, and how it counts wrong characters."""

import pytest

from serve.cli.bench.ocr.pages import TEXTS, pages
from serve.cli.bench.ocr.run import edit_distance


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("", "", 0), ("kai", "", 3), ("kai", "kais", 1), ("Größe", "Grose", 2), ("ab", "ba", 2)],
)
def test_wrong_characters_are_counted(first: str, second: str, distance: int) -> None:
    assert edit_distance(first, second) == distance


def test_a_quick_run_draws_one_page() -> None:
    (page,) = pages([], quick=True)

    assert (page.language, page.text) == ("English", TEXTS["English"])
    assert page.image.size == (2479, 3508)
