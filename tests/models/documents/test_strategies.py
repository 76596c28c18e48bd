"""Chunking strategies: what each finds and shows, and what holds for all of them."""

from dataclasses import replace

import numpy as np
import pytest
from document_checks import num_tokens, uncovered
from hypothesis import given, settings
from hypothesis import strategies as st

from models.documents.base import Document
from models.documents.chunk import chunk
from models.documents.chunkers.base import ChunkingOptions
from models.documents.chunkers.semantic import SemanticConfig, join_units
from models.documents.parse import parse
from models.errors.configuration import ConfigError
from models.tokens.text_tokenizer import WordTokenizer
from models.types.arrays import FloatArray
from models.types.chunks import Chunk

WORDS = WordTokenizer()
NAMES = ("structure", "static", "sentence_window", "semantic", "parent_child", "contextual_headers")
PIECES = st.sampled_from(
    [
        "# Tides\n\n",
        "## Neap\n\n",
        "The sea rises twice a day. ",
        "Der Mond zieht das Meer an! ",
        "潮は月の引力で動く。",
        "\n\n",
        "| port | metres |\n|---|---|\n| Brest | 6 |\n\n",
        "- one\n- two\n\n",
        "x" * 90 + " ",
        "```\nmake up\n```\n\n",
    ]
)


def options(name: str, max_tokens: int = 40, **parameters: int) -> ChunkingOptions:
    return ChunkingOptions(max_tokens=max_tokens, overlap_tokens=8, strategy=name, parameters=parameters)


def document(text: str, filename: str = "tides.md") -> Document:
    return parse(text.encode(), filename)


def unit_vectors(units: list[Chunk]) -> FloatArray:
    """A direction a first letter: units that begin alike mean the same."""
    vectors = np.zeros((len(units), 512), np.float32)
    vectors[np.arange(len(units)), [ord(unit.text[0]) % 512 for unit in units]] = 1
    return vectors


def chunks_of(read: Document, chosen: ChunkingOptions) -> list[Chunk]:
    chunks = chunk(read, WORDS, chosen)
    if chosen.strategy != "semantic":
        return chunks
    return join_units(read.text, chunks, unit_vectors(chunks), chosen, SemanticConfig(**chosen.parameters))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(pieces=st.lists(PIECES, min_size=1, max_size=40), max_tokens=st.integers(32, 90))
def test_chunks_are_places_in_the_text_that_together_hold_all_of_it(
    name: str, pieces: list[str], max_tokens: int
) -> None:
    text = "".join(pieces)
    read = document(text if text.strip() else "The sea.")

    chunks = chunks_of(read, options(name, max_tokens))

    assert chunks
    assert chunks == chunks_of(read, options(name, max_tokens))
    assert uncovered(read, chunks) == ""
    assert len({piece.start for piece in chunks}) == len(chunks)
    for piece, size in zip(chunks, num_tokens([piece.text for piece in chunks], WORDS), strict=True):
        assert piece.text == read.text[piece.start : piece.end] == piece.text.strip()
        assert size <= max_tokens
        if piece.shown:
            assert piece.shown[0] <= piece.start < piece.end <= piece.shown[1]
            assert piece.text in read.text[slice(*piece.shown)]


def test_structure_by_name_gives_the_default_chunks() -> None:
    read = document("# Tides\n\n" + "The sea rises twice a day. " * 40)

    named = chunk(read, WORDS, options("structure"))

    assert named == chunk(read, WORDS, ChunkingOptions(max_tokens=40, overlap_tokens=8))


def test_static_chunks_are_full_and_repeat_the_overlap() -> None:
    read = document(" ".join(f"w{number}" for number in range(100)))

    chunks = chunks_of(read, options("static"))

    assert [piece.num_tokens for piece in chunks] == [40, 40, 36]
    assert [piece.text.split()[0] for piece in chunks] == ["w0", "w32", "w64"]


def test_a_sentence_is_found_and_its_neighbours_are_shown() -> None:
    sentences = [
        f"Sentence number {number} tells how high the tide of day {number} was at noon." for number in range(9)
    ]
    read = document(
        "# Log\n\n"
        + " ".join(sentences)
        + "\n\n# Other\n\nSomething else entirely, of more than twelve words and marks."
    )

    chunks = chunks_of(read, options("sentence_window", max_tokens=200, window_sentences=2))

    assert [piece.text for piece in chunks[:9]] == sentences
    assert chunks[4].shown is not None
    assert read.text[slice(*chunks[4].shown)] == " ".join(sentences[2:7])
    assert read.text[slice(*(chunks[8].shown or ()))] == " ".join(sentences[6:])
    assert "Other" not in "".join(read.text[slice(*(piece.shown or ()))] for piece in chunks)


def test_a_window_has_no_more_than_its_tokens() -> None:
    sentences = [
        f"Sentence number {number} tells how high the tide of day {number} was at noon." for number in range(9)
    ]

    chunks = chunks_of(document(" ".join(sentences)), options("sentence_window", max_tokens=48, window_sentences=10))

    assert chunks[4].shown is not None
    assert chunks[4].shown[1] - chunks[4].shown[0] == len(" ".join(sentences[3:6]))


def test_a_small_piece_is_found_and_its_section_is_shown() -> None:
    body = " ".join(f"Fact {number} of this section is told in some ten words." for number in range(12))
    read = document(f"# Tides\n\nIntroduction to all of it.\n\n## Neap\n\n{body}\n\n## Spring\n\n{body}")

    chunks = chunks_of(read, options("parent_child", max_tokens=400, child_tokens=32))

    neap = [piece for piece in chunks if piece.context.endswith("Neap")]
    assert len(neap) > 3
    assert {read.text[slice(*(piece.shown or ()))] for piece in neap} == {body}


def test_a_semantic_chunk_ends_where_the_meaning_changes() -> None:
    tides = " ".join(f"Tides of day {number} were as high as those of the week before." for number in range(4))
    ports = " ".join(f"Ports of region {number} have cranes, sheds and a railway line." for number in range(4))

    chunks = chunks_of(document(f"{tides} {ports}"), options("semantic", max_tokens=100))

    assert [piece.text for piece in chunks] == [tides, ports]


def test_a_semantic_chunk_that_fits_is_whole_where_nothing_changes() -> None:
    text = " ".join(f"Tides of day {number} were as high as those of the week before." for number in range(6))

    assert [piece.text for piece in chunks_of(document(text), options("semantic", max_tokens=100))] == [text]


def test_semantic_units_of_a_long_file_are_bounded() -> None:
    text = "\n\n".join(f"# Part {part}\n\n" + "The sea rises twice a day and falls again. " * 500 for part in range(24))

    units = chunk(document(text), WORDS, options("semantic", max_tokens=220))

    assert 2_000 < len(units) <= 4_200


def test_headers_name_the_file_and_every_heading() -> None:
    body = "The sea rises twice a day. " * 20
    read = document(f"# Harbour handbook\n\n## Tides of the Atlantic coast\n\n### Neap\n\n{body}")

    chunks = chunks_of(read, options("contextual_headers", max_tokens=80))

    assert {piece.context for piece in chunks} == {"Harbour handbook > Tides of the Atlantic coast > Neap"}


@pytest.mark.parametrize(
    ("text", "filename", "title"),
    [
        ("Harbour handbook\nThe sea rises.", "a.txt", "Harbour handbook"),
        ("The sea rises. It falls.", "harbour_hand-book.txt", "harbour hand book"),
        ("The sea rises. It falls.", "0193.txt", ""),
        ("潮汐の手引き\n潮は月の引力で動く。", "a.txt", "潮汐の手引き"),
    ],
)
def test_a_file_without_a_title_is_named_by_its_first_line_or_its_name(text: str, filename: str, title: str) -> None:
    read = replace(document(text, filename), filename=filename)

    (piece,) = chunks_of(read, options("contextual_headers"))

    assert piece.context == title


def test_a_long_header_shortens_the_text() -> None:
    read = document("# " + "very long heading " * 30 + "\n\n" + "The sea rises twice a day. " * 60)

    chunks = chunks_of(read, options("contextual_headers", max_tokens=120, header_tokens=90))

    sizes = num_tokens([piece.context for piece in chunks], WORDS)
    assert max(sizes) == 90
    assert all(size + piece.num_tokens <= 120 + 32 for size, piece in zip(sizes, chunks, strict=True))


def test_an_unknown_strategy_or_parameter_is_refused_by_name() -> None:
    read = document("The sea.")

    with pytest.raises(ConfigError, match="sentence_windows"):
        chunk(read, WORDS, options("sentence_windows"))
    with pytest.raises(ConfigError, match="window_sentences"):
        chunk(read, WORDS, options("sentence_window", window_sentences=99))
