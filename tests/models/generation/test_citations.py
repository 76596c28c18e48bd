import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.generation.citations import Citation, CitationStream, Marker
from models.generation.markers import WORD_JOINER, escape_markers
from models.types.chunks import Passage
from models.types.generation import GenerationDelta, Mark
from tests.models.generation.samples import RIVER, TOWER, passage

PASSAGES = (passage(TOWER, start=100), passage(RIVER), passage("# Code\n\nUse `a[1]`:\n\n```\nb[2]\n```\n"))
PIECES = [
    *(f"[{number}]" for number in (0, 1, 2, 3, 4, 12, 999, 2024)),
    *(
        "[1, 2]",
        "[ 2,3 ]",
        "[1][2]",
        "[",
        "]",
        ",",
        "1",
        " ",
        "  ",
        "\t",
        "\n",
        "`",
        "``",
        "```",
        "\\",
        "[a]",
        WORD_JOINER,
    ),
    *("The Eiffel Tower was completed in 1889.", "The Seine flows", "x"),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


def read(deltas: list[str], passages: tuple[Passage, ...] = PASSAGES) -> tuple[str, list[Citation]]:
    """The whole text and all citations of an answer that comes in `deltas`."""
    stream = CitationStream(passages)
    pieces = [*(stream.feed(delta) for delta in deltas), stream.finish()]
    return "".join(piece.text for piece in pieces), [citation for piece in pieces for citation in piece.citations]


def test_a_marker_cites_the_sentence_that_the_claim_quotes() -> None:
    text, [citation] = read(["The Eiffel Tower was completed in 1889. [1]"])

    assert text == "The Eiffel Tower was completed in 1889. [1]"
    assert citation.quote == "The Eiffel Tower was completed in 1889."
    # "Construction began in 1887. " has 28 characters, the quote 39, and the passage begins at character 100.
    assert (citation.id, citation.passage, citation.start, citation.end) == (1, PASSAGES[0], 128, 167)
    assert citation.score == 1.0


def test_a_paraphrase_cites_the_sentence_that_shares_most_words() -> None:
    _, [citation] = read(["At 330 metres [1] it is tall."])

    assert citation.quote == "It is 330 metres tall."
    # {at, 330, metre} and {it, is, 330, metre, tall} share two stems: 2 * 2 / (3 + 5).
    assert citation.score == pytest.approx(0.5)


def test_two_claims_in_a_sentence_cite_what_each_passage_says() -> None:
    _, citations = read(["Construction began in 1887 [1] and the Seine flows through Paris [2]."])

    assert [citation.quote for citation in citations] == [
        "Construction began in 1887.",
        "The Seine flows through Paris.",
    ]


def test_ids_count_by_first_appearance_and_are_reused_for_the_same_quote() -> None:
    text, citations = read(
        ["The Seine flows through Paris [2]. Construction began in 1887 [1]. The Seine flows through Paris [2]."]
    )

    assert (
        text == "The Seine flows through Paris [1]. Construction began in 1887 [2]. The Seine flows through Paris [1]."
    )
    assert [citation.passage for citation in citations] == [PASSAGES[1], PASSAGES[0]]


def test_another_sentence_of_the_same_passage_is_another_citation() -> None:
    text, citations = read(["Construction began in 1887 [1]. It is 330 metres tall [1]."])

    assert text == "Construction began in 1887 [1]. It is 330 metres tall [2]."
    assert [citation.quote for citation in citations] == ["Construction began in 1887.", "It is 330 metres tall."]


@pytest.mark.parametrize("marker", ["[1, 2]", "[1][2]", "[1,2]", "[ 1 , 2 ]", "[1, 2][2]", "[1][9][2]"])
def test_several_numbers_behind_a_claim_become_one_marker_each(marker: str) -> None:
    assert read([f"Paris {marker}."])[0] == "Paris [1][2]."


def test_a_number_without_a_passage_is_dropped_with_the_space_before_it() -> None:
    assert read(["So it is [7]. And so [4, 5]"]) == ("So it is. And so", [])


@pytest.mark.parametrize(
    "text", ["a[0]", "row[99]", "[a]", "[2024]", "[]", "[1", "1]", "[1;2]", "[-1]", "[1.5]", "[x][", " "]
)
def test_text_that_is_no_marker_passes_unchanged(text: str) -> None:
    assert read([text]) == (text, [])


@pytest.mark.parametrize("text", ["`a[1]`", "``a[1] ` [2]``", "```\na[1]\n```", "  ````py\n```\na[1]\n  ````\n"])
def test_code_passes_unchanged(text: str) -> None:
    assert read([text]) == (text, [])


@pytest.mark.parametrize("text", ["`a[1]` b [1]", "```\na[1]\n```\nb [1]", "stray ` tick\nb [1]", "x ``` y\nb [1]"])
def test_markers_count_again_after_code(text: str) -> None:
    assert [citation.passage for citation in read([text])[1]] == [PASSAGES[0]]


def test_an_escaped_marker_stays_escaped_text() -> None:
    footnote = "Born in Bangor,[1] he grew up in Barmouth [2]. `a[1]`"
    escaped = f"Born in Bangor,[{WORD_JOINER}1] he grew up in Barmouth [{WORD_JOINER}2]. `a[1]`"

    assert read([escape_markers(footnote)]) == (escaped, [])


def test_a_bracket_that_a_passage_has_after_the_same_word_is_the_documents_own() -> None:
    own = (passage("The crate [2] is marked parcel[1] on its lid."), passage(RIVER))

    text, citations = read(["The crate [2] is marked parcel[1] [1]. A crate[1] too."], own)

    assert text == f"The crate [{WORD_JOINER}2] is marked parcel[{WORD_JOINER}1] [1]. A crate[1] too."
    assert [citation.passage for citation in citations] == [own[0]]


def test_quotation_marks_of_tex_hide_no_citation() -> None:
    text, [citation] = read(["He calls it ``the iron lady'' since 1889 [1]."])

    assert text.endswith("1889 [1].")
    assert citation.passage == PASSAGES[0]


def test_a_marker_before_any_claim_still_cites_its_passage() -> None:
    _, [citation] = read(["[2] says so."])

    assert citation.passage == PASSAGES[1]
    assert citation.score == 0.0


def test_a_passage_without_a_sentence_is_quoted_whole() -> None:
    _, [citation] = read(["So it is [1]."], (passage("...", start=7),))

    assert (citation.quote, citation.start, citation.end) == ("...", 7, 10)


def test_text_that_cannot_be_a_marker_is_not_held_back() -> None:
    stream = CitationStream(PASSAGES)

    shown = [stream.feed(delta).text for delta in ["A cl", "aim [", "1", "] b", " [x"]]

    assert shown == ["A cl", "aim", "", " [1] b", " [x"]


@settings(deadline=None, max_examples=50)
@given(TEXTS, st.lists(st.integers(0, 200)))
def test_where_deltas_are_cut_changes_neither_text_nor_citations(text: str, cuts: list[int]) -> None:
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    deltas = [text[start:end] for start, end in itertools.pairwise(borders)]

    assert read(deltas) == read([text]) == read(list(text))


@settings(deadline=None, max_examples=50)
@given(TEXTS)
def test_every_quote_is_the_text_that_its_offsets_name(text: str) -> None:
    shown, citations = read([text])

    assert [citation.id for citation in citations] == list(range(1, len(citations) + 1))
    for citation in citations:
        origin = citation.passage
        assert citation.quote == origin.text[citation.start - origin.start : citation.end - origin.start]
        assert f"[{citation.id}]" in shown


@settings(deadline=None, max_examples=50)
@given(TEXTS)
def test_every_place_of_a_marker_is_its_marker(text: str) -> None:
    stream = CitationStream(PASSAGES)
    pieces = [*map(stream.feed, text), stream.finish()]
    shown = "".join(piece.text for piece in pieces)

    for marker in [marker for piece in pieces for marker in piece.markers]:
        assert shown[marker.start : marker.end] == f"[{marker.citation_id}]"


@settings(deadline=None, max_examples=50)
@given(TEXTS, TEXTS)
def test_known_marks_are_cited_whatever_stands_around_them(before: str, after: str) -> None:
    marks = (Mark(len(before), len(before) + 3, 2, (0, 30)),)
    delta = GenerationDelta(f"{before}[2]{after}", "stop", marks=marks)

    cited = CitationStream(PASSAGES).read(delta)

    assert cited.text == f"{before}[1]{after}"
    assert [citation.quote for citation in cited.citations] == ["The Seine flows through Paris."]
    assert cited.markers == (Marker(1, len(before), len(before) + 3),)


def test_text_without_marks_is_shown_as_it_is() -> None:
    answer = '{"sure": [1], "also": [ 2 , 99 ]}'
    stream = CitationStream(PASSAGES)

    pieces = [*(stream.read(GenerationDelta(character, marks=())) for character in answer), stream.finish()]

    assert "".join(piece.text for piece in pieces) == answer
    assert [piece for piece in pieces if piece.citations or piece.markers] == []
