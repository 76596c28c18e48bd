"""Which passages support which field of a JSON answer."""

import json
from typing import Any

import pytest

from models.generation.citations import Citation
from models.generation.structured import MAX_FIELDS, FieldSupport, support_fields
from tests.models.generation.samples import passage

KILN = passage("The kiln is fired with dry alder. It holds ninety pots and heats to 1,240 degrees.", filename="kiln.md")
MILL = passage("The mill has two stones of 850.5 kg. Its wheel was built in 1887 by Åsa Lund.", 40, "mill.md")
PASSAGES = (KILN, MILL)


def supported(value: Any) -> dict[str, list[str]]:
    """The quotes that support each field."""
    fields, citations = support_fields(json.dumps(value, ensure_ascii=False), PASSAGES)
    by_id = {citation.id: citation for citation in citations}
    return {field.pointer: [by_id[number].quote for number in field.citation_ids] for field in fields}


def unsupported(value: Any) -> list[str]:
    fields, _ = support_fields(json.dumps(value, ensure_ascii=False), PASSAGES)
    return [field.pointer for field in fields if not field.is_supported]


FIRED, HOLDS = "The kiln is fired with dry alder.", "It holds ninety pots and heats to 1,240 degrees."
STONES, WHEEL = "The mill has two stones of 850.5 kg.", "Its wheel was built in 1887 by Åsa Lund."


@pytest.mark.parametrize(
    ("value", "quotes"),
    [
        ({"fuel": "dry alder"}, {"/fuel": [FIRED]}),
        ({"kiln": {"heat": {"max": 1240}}}, {"/kiln/heat/max": [HOLDS]}),
        ({"kiln": {"heat": {"max": 1240.0}}}, {"/kiln/heat/max": [HOLDS]}),
        ({"stones": 2, "weight": 850.5}, {"/stones": [STONES], "/weight": [STONES]}),
        ({"built": 1887, "by": "Åsa Lund"}, {"/built": [WHEEL], "/by": [WHEEL]}),
        ({"fuels": ["alder", "coal"]}, {"/fuels/0": [FIRED], "/fuels/1": []}),
        ({"wheelBuilt": True}, {"/wheelBuilt": [WHEEL]}),
        ({"has_chimney": False}, {"/has_chimney": []}),
        ({"a/b": {"c~d": "alder"}}, {"/a~1b/c~0d": [FIRED]}),
        ({"": "alder"}, {"/": [FIRED]}),
        ("alder", {"": [FIRED]}),
        ([[1887]], {"/0/0": [WHEEL]}),
        ({"owner": None, "note": "unknown", "empty": ""}, {"/owner": [], "/note": [], "/empty": []}),
        ({}, {}),
        ([], {}),
    ],
)
def test_a_field_has_the_sentences_that_say_it(value: Any, quotes: dict[str, list[str]]) -> None:
    assert supported(value) == quotes


def test_what_no_passage_says_is_unsupported_and_null_is_not() -> None:
    value = {
        "fuel": "coal and peat",
        "year": 1999,
        "years": [1887, 1888],
        "owner": None,
        "sure": "unknown",
        "lit": True,
    }

    assert unsupported(value) == ["/fuel", "/year", "/years/1", "/lit"]


def test_each_sentence_of_a_text_must_be_supported() -> None:
    text = "The kiln is fired with dry alder. Camels cross deserts at night."

    assert unsupported({"summary": text}) == ["/summary"]
    assert supported({"summary": text}) == {"/summary": [FIRED]}


def test_a_sentence_that_says_several_things_is_cited_once() -> None:
    fields, citations = support_fields('{"fuel": "alder", "wood": "dry alder", "year": 1887}', PASSAGES)

    assert [field.citation_ids for field in fields] == [(1,), (1,), (2,)]
    assert citations == (
        Citation(1, KILN, FIRED, 0, len(FIRED), citations[0].score),
        Citation(2, MILL, WHEEL, 40 + MILL.text.index("Its"), 40 + len(MILL.text), citations[1].score),
    )
    assert all(0 < citation.score <= 1 for citation in citations)


def test_the_name_of_a_field_tells_equal_numbers_apart() -> None:
    text = "The inn has 12 beds. The barn has 12 cows."

    fields, [citation] = support_fields('{"cows": 12}', (passage(text),))

    assert (fields, citation.quote) == ((FieldSupport("/cows", (1,)),), "The barn has 12 cows.")


def test_another_language_needs_its_names_and_numbers() -> None:
    assert unsupported({"antwort": "Das Rad wurde 1887 von Åsa Lund gebaut."}) == []
    assert unsupported({"antwort": "Das Rad wurde 1888 von Åsa Lund gebaut."}) == ["/antwort"]


BROKEN = ["", "not JSON", '{"cut": "in the mid', "[" * 100_000, "9" * 5000, '{"a": 1} {"b": 2}']
ODD = ["NaN", "-Infinity", "1e400", "-0.0", '"\\ud800"', '"\\u0000"', '{"a": 1, "a": "alder"}']


@pytest.mark.parametrize("text", BROKEN, ids=["empty", "words", "cut", "deep", "large", "two"])
def test_a_text_that_is_no_json_has_no_fields(text: str) -> None:
    assert support_fields(text, PASSAGES) == ((), ())


@pytest.mark.parametrize("text", ODD)
def test_odd_values_are_fields_like_others(text: str) -> None:
    fields, _ = support_fields(text, PASSAGES)

    assert len(fields) == 1


def test_deep_and_wide_answers_are_bounded() -> None:
    deep = '{"a":' * 500 + '"alder"' + "}" * 500

    assert support_fields(deep, PASSAGES)[0][0] == FieldSupport("/a" * 500, (1,))
    assert len(support_fields(json.dumps(["alder"] * 5 * MAX_FIELDS), PASSAGES)[0]) == MAX_FIELDS


def test_without_passages_nothing_is_supported() -> None:
    fields, citations = support_fields('{"fuel": "alder", "sure": null}', ())

    assert (fields, citations) == ((FieldSupport("/fuel", (), False), FieldSupport("/sure", ())), ())
