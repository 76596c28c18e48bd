"""Labels that Word generates."""

import pytest

from models.documents.word.numbering import written
from tests.models.documents.word.word_files import paragraph, read_body


def level(depth: int, text: str, style: str = "decimal", more: str = "") -> str:
    start = '<w:start w:val="1"/>'
    return f'<w:lvl w:ilvl="{depth}">{start}<w:numFmt w:val="{style}"/>{more}<w:lvlText w:val="{text}"/></w:lvl>'


CLAUSES = level(0, "%1.") + level(1, "%1.%2") + level(2, "(%3)", "lowerLetter")
NUMBERING = (
    f'<w:abstractNum w:abstractNumId="7">{CLAUSES}</w:abstractNum>'
    f'<w:abstractNum w:abstractNumId="8">{level(0, "•", "bullet")}</w:abstractNum>'
    '<w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num>'
    '<w:num w:numId="2"><w:abstractNumId w:val="7"/>'
    '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="5"/></w:lvlOverride></w:num>'
    '<w:num w:numId="3"><w:abstractNumId w:val="8"/></w:num>'
)


def item(text: str, list_id: int, depth: int = 0, more: str = "") -> str:
    place = f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="{list_id}"/></w:numPr>'
    return paragraph(text, more + place)


def lines(*items: str, styles: str = "") -> list[str]:
    document = read_body("".join(items), {"numbering": NUMBERING, "styles": styles})
    return [line.strip() for line in document.text.split("\n") if line.strip()]


def test_clauses_count_under_their_articles() -> None:
    clauses = lines(
        *(item("Rent", 1), item("Due monthly", 1, 1), item("by bank", 1, 2), item("by cheque", 1, 2)),
        *(item("Late rent", 1, 1), item("Keys", 1), item("Two keys", 1, 1)),
    )

    assert clauses == [
        *("1. Rent", "1.1 Due monthly", "(a) by bank", "(b) by cheque", "1.2 Late rent", "2. Keys", "2.1 Two keys")
    ]


def test_a_list_goes_on_after_a_paragraph_and_starts_anew_where_it_says_so() -> None:
    steps = lines(item("Open", 1), paragraph("Wait."), item("Drain", 1), item("Elsewhere", 2), item("Close", 2))

    assert steps == ["1. Open", "Wait.", "2. Drain", "5. Elsewhere", "6. Close"]


def test_bullets_have_no_number() -> None:
    assert lines(item("salt", 3), item("pepper", 3)) == ["- salt", "- pepper"]


def test_headings_are_numbered_by_the_list_of_their_style() -> None:
    numbering = NUMBERING.replace('<w:lvlText w:val="%1.%2"/>', '<w:pStyle w:val="H2"/><w:lvlText w:val="%1.%2"/>', 1)
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="H{depth}"><w:name w:val="heading {depth}"/>'
        '<w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
        for depth in (1, 2)
    )
    body = paragraph("Scope", '<w:pStyle w:val="H1"/>') + paragraph("Parties", '<w:pStyle w:val="H2"/>')

    document = read_body(body, {"numbering": numbering, "styles": styles})

    assert document.text == "1. Scope\n\n1.1 Parties"
    assert [block.level for block in document.blocks] == [1, 2]


def test_numbers_stand_in_cells_of_tables_too() -> None:
    cells = "".join(f"<w:tc>{item(text, 1)}</w:tc>" for text in ("Fill", "Empty"))

    assert lines(f"<w:tbl><w:tr>{cells}</w:tr></w:tbl>") == ["1. Fill | 2. Empty"]


@pytest.mark.parametrize(
    ("count", "style", "text"),
    [
        *(
            (4, "upperRoman", "IV"),
            (1999, "lowerRoman", "mcmxcix"),
            (28, "upperLetter", "BB"),
            (3, "decimalZero", "03"),
        ),
        *((12, "ordinal", "12th"), (22, "ordinal", "22nd"), (21, "chineseCounting", "二十一"), (9, "unheard", "9")),
        *((0, "lowerRoman", "0"), (5, "none", "")),
    ],
)
def test_numbers_are_written_in_the_style_of_their_level(count: int, style: str, text: str) -> None:
    assert written(count, style) == text
