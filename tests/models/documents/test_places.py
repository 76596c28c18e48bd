"""Where blocks and chunks stand in their file."""

from itertools import pairwise

import pytest

from models.catalog import Catalog
from models.documents.base import Block, Document
from models.documents.builder import DocumentBuilder
from models.documents.chunk import chunk
from models.documents.chunkers.base import ChunkingOptions
from models.documents.parse import parse
from models.documents.tables import Cell, table_text
from models.location import Anchor, Location
from models.tokens.text_tokenizer import WordTokenizer
from models.types.chunks import Chunk, Passage
from tests.models.documents.document_files import make_pdf, text_at
from tests.models.documents.pdf.pdf_files import lines_at

SMALL = ChunkingOptions(max_tokens=32, overlap_tokens=8)
STRATEGIES = list(Catalog.open().entries["chunking"])


def passage(found: Chunk) -> Passage:
    return Passage(0, "", "", "", found.text, found.start, found.end, source_map=found.source_map)


def place_of(document: Document, words: str) -> str:
    """The place of the words in every chunk that has them: all chunks must agree."""
    start = document.text.index(words)
    span = (start, start + len(words))
    places = set()
    for size in (32, 64, 220):
        chunks = chunk(document, WordTokenizer(), ChunkingOptions(max_tokens=size, overlap_tokens=8))
        within = [found for found in chunks if found.start <= span[0] and span[1] <= found.end]
        places |= {str(passage(found).location_of(*span)) for found in within}
    (place,) = places
    return place


def test_a_paragraph_over_two_pages_stands_on_both() -> None:
    pages = [
        lines_at(72, 600, ["The first page has a sentence of its own.", "The second sentence goes on to"]),
        lines_at(72, 600, ["the next page and ends there. It has another."]) + text_at(72, 300, "A last remark."),
    ]

    document = parse(make_pdf(pages), "a.pdf")

    assert place_of(document, "sentence of its own") == "page 1"
    assert place_of(document, "The second sentence goes on to the next page") == "pages 1-2"
    assert place_of(document, "It has another") == "page 2"
    assert place_of(document, "A last remark.") == "page 2"


def test_pages_without_text_are_counted() -> None:
    document = parse(make_pdf(["", text_at(72, 600, "Alpha."), "", "", text_at(72, 600, "Omega.")]), "a.pdf")

    assert [place_of(document, word) for word in ("Alpha", "Omega")] == ["page 2", "page 5"]
    assert document.omissions == (("pages without text", 3),)


def test_slides_are_places_until_the_next_one() -> None:
    builder = DocumentBuilder()
    builder.add("paragraph", "Before any slide.")
    for number in (1, 2):
        builder.locate(Location("slide", number, number))
        builder.add("heading", f"Slide {number}", level=1)
        builder.add("list_item", f"Point {number}a")
        builder.add("list_item", f"Point {number}b")
    builder.locate(None)
    builder.add("paragraph", "After all slides.")

    document = builder.build()

    assert len(document.anchors) == 3
    assert place_of(document, "Before any") == place_of(document, "After all") == "None"
    assert place_of(document, "Point 1b") == "slide 1"
    assert place_of(document, "Slide 2") == "slide 2"


def test_rows_of_sheets_are_counted_without_the_empty_ones() -> None:
    builder = DocumentBuilder()
    for sheet in ("Übersicht", "Costs"):
        builder.locate(Location("row", 1, 1, sheet))
        builder.add("heading", sheet, level=1)
        cells = [[Cell(sheet + name) for name in ("name", "price")], [], [], [Cell(f"{sheet} oven"), Cell("250")]]
        builder.add_table(table_text([*cells, [Cell(f"{sheet} mill"), Cell("9")]], first_row=3))
        builder.add("paragraph", f"A note on {sheet}.")

    document = builder.build()

    assert place_of(document, "Übersicht oven | 250") == "sheet Übersicht, row 6"
    assert place_of(document, "Costs mill") == "sheet Costs, row 7"
    assert place_of(document, "Costs oven | 250\nCosts mill") == "sheet Costs, rows 6-7"


def test_code_in_a_page_stands_at_its_lines() -> None:
    builder = DocumentBuilder()
    builder.locate(Location("line", 12, 12), counts_lines=True)
    builder.add("code", "    one\n      two\n\n    four\n")
    builder.locate(Location("line", 20, 23))
    builder.add("paragraph", "a paragraph of four lines, written as one")

    document = builder.build()

    assert place_of(document, "two") == "line 13"
    assert place_of(document, "two\n\nfour") == "lines 13-15"
    assert place_of(document, "of four lines") == "lines 20-23"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_knows_the_places_of_its_chunks(strategy: str) -> None:
    builder = DocumentBuilder()
    for number in range(1, 30):
        builder.locate(Location("page", number, number))
        builder.add(
            "heading" if number % 5 == 0 else "paragraph", f"Alpha {number}. Beta beta beta {number}.", number % 2
        )
    document = builder.build()

    for found in chunk(document, WordTokenizer(), ChunkingOptions(max_tokens=64, overlap_tokens=8, strategy=strategy)):
        location = passage(found).location
        pages = [number for number in range(1, 30) if f"Alpha {number}." in found.text]
        assert location is not None
        assert {location.first, location.last} >= {pages[0], pages[-1]}
        assert found.shown is None or f'[{found.shown[0]},"page"' in found.source_map


def test_chunks_of_a_long_text_are_located_in_linear_time() -> None:
    lines = [f"line number {number}" for number in range(1, 20_001)]
    text = "\n".join(lines)
    document = Document(text, (Block("code", 0, len(text)),), anchors=(Anchor(0, Location("line", 1, 1), True),))

    chunks = chunk(document, WordTokenizer(), SMALL)

    locations = [passage(found).location for found in chunks]
    for found, location in zip(chunks, locations, strict=True):
        assert location is not None
        assert found.text.startswith(lines[location.first - 1])
        assert found.text.endswith(lines[location.last - 1])
    assert all(above.first <= below.first for above, below in pairwise(filter(None, locations)))


def test_a_document_without_places_has_chunks_without_them() -> None:
    builder = DocumentBuilder()
    builder.add("paragraph", "Word has no fixed pages.")

    (found,) = chunk(builder.build(), WordTokenizer(), SMALL)

    assert (found.source_map, passage(found).location) == ("", None)


@pytest.mark.parametrize("extra", ["", ', "tags": {"a": [1]}'])
def test_a_record_of_json_lines_stands_at_its_line(extra: str) -> None:
    lines = [f'{{"name": "port {number}", "depth": {number}{extra}}}' for number in range(10, 60)]
    document = parse(
        "\n".join(["", *lines[:20], "no JSON", '{"name": null, "depth": null}', *lines[20:]]).encode(), "a.jsonl"
    )

    assert place_of(document, "port 10") == "line 2"
    assert place_of(document, "port 29") == "line 21"
    assert place_of(document, "port 30") == "line 24"
