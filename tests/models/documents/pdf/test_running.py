"""Headers, footers and page numbers of PDFs."""

import pytest

from models.documents.parse import parse
from tests.models.documents.document_files import make_pdf, text_at
from tests.models.documents.pdf.pdf_files import lines_at

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]


def body(word: str) -> str:
    return lines_at(72, 640, [f"The {word} is the first line of the page,", f"and {word} is the second one."])


def texts(pages: list[str]) -> tuple[str, tuple[tuple[str, int], ...]]:
    document = parse(make_pdf(pages), "a.pdf")
    return document.text, document.omissions


EXPECTED = "\n\n".join(f"The {word} is the first line of the page, and {word} is the second one." for word in WORDS)
ROMAN = ["i", "ii", "iii", "iv", "v", "vi"]
CHAPTERS = ["Keels", "Keels", "Masts", "Masts", "Masts", "Sails"]


@pytest.mark.parametrize(
    "running",
    [
        [f"Manual, page {number} of 6" for number in range(1, 7)],
        [f"Seite {number + 12}" for number in range(6)],
        [f"Preface   {numeral}" for numeral in ROMAN],
        [f"{number} | Handbook of boats" if number % 2 else f"Ada Quist | {number}" for number in range(1, 7)],
        [f"{chapter}   {number}" for number, chapter in enumerate(CHAPTERS, start=3)],
        CHAPTERS,
    ],
    ids=["page of pages", "offset", "Roman", "left and right", "chapter and page", "chapter"],
)
@pytest.mark.parametrize("height", [760, 30], ids=["header", "footer"])
def test_running_lines_that_change_from_page_to_page_are_left_out(running: list[str], height: int) -> None:
    text, omissions = texts([body(word) + text_at(72, height, line) for word, line in zip(WORDS, running, strict=True)])

    assert text == EXPECTED
    assert omissions == (("lines of headers and footers", 6),)


def test_headers_of_two_lines_are_left_out() -> None:
    header = text_at(72, 760, "Windhover Limited") + text_at(72, 746, "Confidential")

    assert texts([header + body(word) for word in WORDS]) == (EXPECTED, (("lines of headers and footers", 12),))


def test_a_sentence_goes_on_behind_a_footer() -> None:
    halves = [("The keel is", "laid first,"), ("and then the", "ribs are"), ("raised. The", "mast follows.")]
    pages = [
        lines_at(72, 640, half) + text_at(72, 30, f"Manual, page {number} of 3")
        for number, half in enumerate(halves, 1)
    ]

    text, _ = texts(pages)

    assert text.replace("\n", " ") == "The keel is laid first, and then the ribs are raised. The mast follows."


@pytest.mark.parametrize(
    "titles",
    [
        [text_at(72, 760, f"Example {number}", size=24) for number in range(1, 7)],
        [text_at(72, 760, f"Invoice {number}") for number in range(1001, 1007)],
        [text_at(72, 760, f"Story of {word}") for word in WORDS],
    ],
    ids=["slides", "invoices", "stories"],
)
def test_titles_of_pages_stay(titles: list[str]) -> None:
    text, omissions = texts([title + body(word) for title, word in zip(titles, WORDS, strict=True)])

    assert text.count("\n\n") == 11
    assert omissions == ()


def test_column_names_that_repeat_above_their_rows_stay() -> None:
    rows = [lines_at(72, 700, ["Day   Port   Fee", f"{number}   Harwich   {number}0"]) for number in range(1, 5)]

    text, _ = texts([row + text_at(72, 660, "x") for row in rows])

    assert text.count("Day Port Fee") == 4


def test_a_footer_that_follows_the_text_at_any_height_is_left_out() -> None:
    pages = [
        lines_at(72, 700, [f"The {word} is set.", f"{word} is of oak."])
        + text_at(72, 300 + 40 * number, f"Windhover | Boats of 2022 | {number}", size=9)
        for number, word in enumerate(WORDS, start=1)
    ]

    text, omissions = texts([page + text_at(72, 660, f"{word} end") for word, page in zip(WORDS, pages, strict=True)])

    assert "Windhover" not in text
    assert omissions == (("lines of headers and footers", 6),)


def test_what_the_running_lines_say_is_the_title_of_a_document_without_one() -> None:
    pages = [
        body(word) + text_at(72, 30, f"Manual of boats, page {number} of 6") for number, word in enumerate(WORDS, 1)
    ]

    assert parse(make_pdf(pages), "a.pdf").title == "Manual of boats"
    assert parse(make_pdf([body(word) + text_at(72, 30, "2024-05-01") for word in WORDS]), "a.pdf").title == ""


def test_two_pages_are_enough_if_the_line_says_that_it_has_the_page_number() -> None:
    pages = [body(word) + text_at(72, 30, f"Manual, page {number} of 2") for number, word in enumerate(WORDS[:2], 1)]
    stories = [body(word) + text_at(72, 30, f"Told in {number} nights") for number, word in enumerate(WORDS[:2], 1)]

    assert "Manual" not in texts(pages)[0]
    assert texts(stories)[0].count("Told in") == 2
