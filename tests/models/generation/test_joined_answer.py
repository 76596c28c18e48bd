"""Answers joined to one: each marker still cites what it cited."""

from dataclasses import replace

from models.generation.citations import Citation, CitedText, Marker
from models.generation.joined_answer import JoinedAnswer
from models.generation.support import Unsupported
from tests.models.generation.samples import passage


def part(text: str, *keys: int) -> CitedText:
    """A text whose markers [1], [2] … cite the first characters of the passages with these keys."""
    passages = [replace(passage("The mill is old. The dam is new."), key=key) for key in keys]
    citations = tuple(Citation(number, each, "The mill", 0, 8, 1.0) for number, each in enumerate(passages, 1))
    markers = tuple(
        Marker(each.id, text.index(f"[{each.id}]"), text.index(f"[{each.id}]") + len(f"[{each.id}]"))
        for each in citations
    )
    return CitedText(text, citations, markers)


def test_citations_are_numbered_on_and_equal_ones_share_a_number() -> None:
    joined = JoinedAnswer()

    first = joined.add(part("The mill is old. [1] So is the dam. [2]", 7, 8))
    second = joined.add(part("The dam is new. [1] The mill is red. [2]", 8, 9))

    assert joined.text == first.text + second.text
    assert joined.text.endswith("\n\nThe dam is new. [2] The mill is red. [3]")
    assert [citation.passage.key for citation in joined.citations] == [7, 8, 9]
    assert [citation.id for citation in second.citations] == [3]
    for marker in joined.markers:
        assert joined.text[marker.start : marker.end] == f"[{marker.citation_id}]"


def test_unsupported_sentences_are_found_at_their_new_places() -> None:
    joined = JoinedAnswer()
    for _ in range(9):
        joined.add(part("A mill. [1]", len(joined.citations) + 1))

    text = "The mill is old. [1] It sings at night."
    start = text.index("It sings")
    joined.add(part(text, 100), [Unsupported("It sings at night.", start, len(text)), Unsupported("Gone.")])

    sings, gone = joined.unsupported
    assert joined.text[sings.start : sings.end] == "It sings at night."
    assert gone == Unsupported("Gone.")
    assert "[10]" in joined.text
