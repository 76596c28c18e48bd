"""German compounds: found by their beginnings and ends, in linear time."""

import pytest

from models.index.analysis import query_words, terms_of
from models.languages.compounds import MAX_WORD, parts_of_compounds

TEXT = "Die Kühlanlagenprüfung und die Qualitätsprüfungen werden jährlich wiederholt; der Höchstdruck beträgt 16 bar."


def finds(query: str, text: str) -> bool:
    return any(term in terms_of(text) for word in query_words(query) for term in word.terms)


@pytest.mark.parametrize(
    "query", ["Prüfung", "prüfungen", "PRUFUNG", "Kühlanlage", "Kühlanlagen", "Qualität", "Druck", "Kühlanlagenprüfung"]
)
def test_a_part_finds_its_compound(query: str) -> None:
    assert finds(query, TEXT)


@pytest.mark.parametrize("query", ["Anlage", "Kühl", "Brot"])
def test_short_parts_and_middles_do_not(query: str) -> None:
    assert not finds(query, TEXT)


def test_other_languages_have_no_parts() -> None:
    text = "The counterproductive reorganisation of the undersecretary was unquestionably misunderstood by everybody."

    assert not finds("organisation", text)
    assert not finds("stood", text)


def test_digits_and_joined_identifiers_are_no_compounds() -> None:
    assert parts_of_compounds("Kühlanlagenprüfung2024 a1234567890123") == []


@pytest.mark.parametrize("text", ["a" * 1_000_000, "prüfung" * 100_000, "ß" * MAX_WORD, "", " " * 1000])
def test_hostile_texts_have_few_parts(text: str) -> None:
    assert len(parts_of_compounds(text)) <= 2 * MAX_WORD
