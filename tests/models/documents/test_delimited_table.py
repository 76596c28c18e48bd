"""CSV and TSV files are tables: a line a row, without the quotation marks of the format."""

import pytest
from document_checks import assert_well_formed, block_texts

from models.documents.line_anchors import MAX_ANCHORS
from models.documents.parse import parse
from models.generation.sentences import sentence_spans
from tests.models.documents.test_places import place_of


def lines_of(text: str, filename: str = "a.csv") -> list[str]:
    document = parse(text.encode(), filename)
    assert_well_formed(document)
    return document.text.split("\n")


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('Firma;Ort\n"Zitat ""Plus"" GmbH";Ulm\n', ["Firma | Ort", 'Zitat "Plus" GmbH | Ulm']),
        ('name,city\n"Doe, Jane",Oslo\n', ["name | city", "Doe, Jane | Oslo"]),
        ("name\tcity\nJane\tOslo", ["name | city", "Jane | Oslo"]),
        ('a,b,c\n1,"two\nlines",\n,,\n,5,6', ["a | b | c", "1 | two lines", " | 5 | 6"]),
        ("名前,都市\n山田,東京", ["名前 | 都市", "山田 | 東京"]),
        ("x, y , z\n1, 2 , 3", ["x | y | z", "1 | 2 | 3"]),
        ('a,b\n"never closed,2\n3,4', ["a | b", '"never closed | 2', "3 | 4"]),
        ("no cells\nat all", ["no cells", "at all"]),
    ],
)
def test_each_row_is_a_line_of_its_cells(source: str, lines: list[str]) -> None:
    assert lines_of(source) == lines


def test_rows_keep_their_numbers_beside_blank_ones() -> None:
    document = parse(b"Stock of May\n\nport,boats\nBrest,7\n\nKiel,9\n", "a.csv")

    assert block_texts(document) == [("paragraph", "Stock of May"), ("table", "port | boats\nBrest | 7\nKiel | 9")]
    assert place_of(document, "Stock of May") == "row 1"
    assert place_of(document, "Brest") == "row 4"
    assert place_of(document, "Kiel | 9") == "row 6"


def test_a_quotation_mark_that_is_never_closed_joins_no_rows() -> None:
    rows = "\n".join(f"{number},boat {number}" for number in range(400))

    lines = lines_of(f'number,name\n"1,boat\n{rows}')

    assert len(lines) == 402
    assert lines[-1] == "399 | boat 399"


def test_each_row_is_quoted_by_itself() -> None:
    rows = "".join(f"{number};Schraube {number}. Verzinkt;{number},50\n" for number in range(1, 40))

    text = parse(f"Nr;Artikel;Preis\n{rows}".encode(), "a.csv").text

    assert [text[start:end] for start, end in sentence_spans(text)] == text.split("\n")


def test_rows_between_too_many_blank_ones_have_no_places() -> None:
    document = parse(b"port,boats\n\n" + b"Brest,7\n\n" * (MAX_ANCHORS + 1), "a.csv")

    assert document.anchors == ()
    assert document.text.startswith("port | boats\nBrest | 7\n")
