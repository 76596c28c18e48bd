"""Each chunk of a table says what its columns are."""

import pytest
from document_checks import assert_invariants, assert_well_formed, block_texts

from models.documents.chunkers.base import ChunkingOptions
from models.documents.delimited import find_names
from models.documents.parse import parse
from models.tokens.text_tokenizer import WordTokenizer

WORDS = WordTokenizer()
SMALL = ChunkingOptions(max_tokens=40, overlap_tokens=8)
NAMES = ["valve", "opened", "closed"]
ROWS = [[f"V{number}", str(number), str(number + 3)] for number in range(40)]


def lines(separator: str, edge: str = "") -> list[str]:
    return [f"{edge}{separator.join(row)}{edge}" for row in [NAMES, *ROWS]]


def page(rows: list[list[str]]) -> str:
    return "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)


BARS = lines(" | ", edge="|")
FILES = {
    "a.csv": "\n".join(lines(",")),
    "b.csv": "\n".join(lines(";")),
    "title.csv": "Valves of the north\nexported today\n" + "\n".join(lines(",")),
    "a.tsv": "\n".join(lines("\t")),
    "tabs.txt": "The valves:\n\n" + "\n".join(lines("\t")),
    "bars.txt": "\n".join([BARS[0], "|---|---|---|", *BARS[1:]]),
    "a.md": "# Plant\n\n" + "\n".join([BARS[0], "|---|---|---|", *BARS[1:]]) + "\n\nEnd.",
    "in.md": f"<table>\n{page([NAMES, *ROWS])}\n</table>",
    "a.html": f"<h1>Plant</h1><p>Some valves.</p><table>{page([NAMES, *ROWS])}</table>",
    "head.html": f"<table><thead><tr><th rowspan=2>valve</th><th colspan=2>state</th></tr><tr><th>opened</th>"
    f"<th>closed</th></tr></thead>{page(ROWS)}</table>",
}


@pytest.mark.parametrize("filename", FILES)
def test_every_chunk_of_a_table_names_its_columns(filename: str) -> None:
    document = parse(FILES[filename].encode(), filename)
    assert_well_formed(document)

    chunks = assert_invariants(document, WORDS, SMALL)

    assert len(chunks) > 3
    for chunk in chunks:
        if "V" in chunk.text:
            assert all(name in chunk.indexed_text for name in NAMES), chunk


def test_chunks_that_hold_the_names_do_not_repeat_them() -> None:
    first, second, *_ = assert_invariants(parse(FILES["a.csv"].encode(), "a.csv"), WORDS, SMALL)

    assert first.context == ""
    assert second.context == "valve | opened | closed"


def test_what_stands_above_the_names_is_a_paragraph() -> None:
    document = parse(FILES["title.csv"].encode(), "a.csv")

    assert block_texts(document)[0] == ("paragraph", "Valves of the north\nexported today")


def test_long_names_take_at_most_half_of_a_chunk() -> None:
    names = ",".join(f"column{number}" for number in range(300))
    rows = "\n".join(",".join("7" * 300) for _ in range(3))

    chunks = assert_invariants(parse(f"{names}\n{rows}".encode(), "a.csv"), WORDS, SMALL)

    assert chunks[-1].context.startswith("column0 | column1")


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a,b\n1,2", (0, 1)),
        ("name,city\nAda,London\nBo,Rome", (0, 1)),
        ("region,2024,2025\nEU,1,2", (0, 1)),
        ('"first\nname",age\nAda,3', (0, 2)),
        ("# a comment\na;b\n1;2\n3;4", (1, 2)),
        (",a,b\n0,x,y", (0, 1)),
        ("Ada,36\nBo,41", (0, 0)),
        ("2024-01-05,7.5\n2024-01-06,8.1", (0, 0)),
        ("a,b", (0, 0)),
        ("a line\nof text", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_a_first_row_with_figures_has_no_names(source: str, names: tuple[int, int]) -> None:
    assert find_names(source.split("\n")) == names


def test_a_table_drawn_in_plain_text_keeps_its_lines() -> None:
    grid = "+---+---+\n| a | b |\n+===+===+\n| 1 | 2 |\n+---+---+"
    simple = "===  ===\na    b\n===  ===\n1    2\n===  ==="

    assert block_texts(parse(f"{grid}\n\n{simple}".encode(), "a.rst")) == [("table", grid), ("table", simple)]
