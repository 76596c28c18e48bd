"""What a reader sees of a PDF's page, and what the raised and lowered digits on it say."""

import pytest

from tests.models.documents.document_files import text_at
from tests.models.documents.pdf.pdf_files import read_page

SHOWN = text_at(72, 700, "The total is 120 euros.")
COVERED = "q 612 0 0 792 0 0 cm /I1 Do Q\n"


@pytest.mark.parametrize(
    "hidden",
    [
        "3 Tr " + text_at(72, 680, "It is nine.") + "0 Tr ",
        "1 1 1 rg " + text_at(72, 680, "It is nine.") + "0 g ",
        text_at(72, 680, "It is nine.", size=0.5),
        text_at(72, 900, "It is nine."),
        text_at(-400, 680, "It is nine."),
    ],
    ids=["invisible", "white", "tiny", "above the page", "beside the page"],
)
def test_hidden_text_is_left_out_and_counted(hidden: str) -> None:
    document = read_page(SHOWN + hidden + text_at(72, 660, "Pay by card."))

    assert "nine" not in document.text
    assert document.text.split() == ["The", "total", "is", "120", "euros.", "Pay", "by", "card."]
    assert document.omissions == (("hidden passages", 1),)


def test_white_text_on_a_dark_ground_is_read() -> None:
    dark = "0.1 g 60 670 300 40 re f 1 1 1 rg " + text_at(72, 680, "Quarter") + "0 g "

    document = read_page(dark + SHOWN)

    assert "Quarter" in document.text
    assert document.omissions == ()


@pytest.mark.parametrize("page", [COVERED + "3 Tr " + SHOWN, "3 Tr " + SHOWN], ids=["on an image", "alone"])
def test_the_text_layer_of_a_scan_is_read(page: str) -> None:
    assert read_page(page).text == "The total is 120 euros."


def test_text_recognized_in_a_scan_is_read_beside_a_visible_stamp() -> None:
    document = read_page(COVERED + text_at(72, 780, "Received") + "3 Tr " + SHOWN)

    assert document.text.split() == ["Received", "The", "total", "is", "120", "euros."]


@pytest.mark.parametrize(
    ("rise", "text"), [(5, "holds 10^6 events"), (-3, "holds 10_6 events"), (0, "holds 106 events")]
)
def test_a_small_raised_or_lowered_digit_is_no_digit_of_the_number(rise: int, text: str) -> None:
    size = 12 if rise == 0 else 7
    stream = f"BT /F1 12 Tf 72 700 Td (holds 10) Tj /F1 {size} Tf {rise} Ts (6) Tj /F1 12 Tf 0 Ts ( events) Tj ET"

    assert read_page(stream).text == text


def test_words_that_a_reader_struck_out_are_marked() -> None:
    stream = text_at(72, 700, "The fee is 90 dollars a day.")
    strike = "/Subtype /StrikeOut /Rect [128 698 176 710] /QuadPoints [128 710 176 710 128 698 176 698]"

    assert read_page(stream, [strike]).text == "The fee is ~~90 dollars~~ a day."
