"""Filters that stand in a question."""

import pytest

from models.filters import AttributeValue, matches
from models.retrieval.drawn_filters import FilterIndex

VALUES: dict[str, frozenset[AttributeValue]] = {
    "department": frozenset({"HR", "Finance", "it"}),
    "year": frozenset({2023, 2024.0}),
    "issued": frozenset({"2024-03-01", "2022-01-31"}),
    "is_draft": frozenset({True}),
    "level": frozenset({3, 7}),
    "author": frozenset({"Ada Lund", "the"}),
}
FILENAMES = frozenset({"HR handbook.pdf", "travel_policy_2023.md", "kettle.md", "Straßenordnung.docx"})
INDEX = FilterIndex.of(VALUES, FILENAMES)


@pytest.mark.parametrize(
    ("question", "shown"),
    [
        ("What was sold in 2024?", {"issued": ("2024-03-01",), "year": (2024.0,)}),
        ("What does HR ask of new staff?", {"department": ("HR",)}),
        ("What did the finance office plan for 2023?", {"department": ("Finance",), "year": (2023,)}),
        ("How many days off are in the HR handbook?", {"department": ("HR",), "filename": ("HR handbook.pdf",)}),
        ("What does the travel policy say on trains?", {"filename": ("travel_policy_2023.md",)}),
        ("How long does it boil, according to kettle.md?", {"filename": ("kettle.md",)}),
        ("How long does it boil, as in the kettle?", {"filename": ("kettle.md",)}),
        ("Was steht in der Straßenordnung?", {}),
        ("What did ADA LUND write?", {"author": ("Ada Lund",)}),
    ],
)
def test_a_value_in_the_question_is_a_filter(question: str, shown: dict[str, tuple[object, ...]]) -> None:
    drawn = INDEX.draw(question)

    if shown:
        assert drawn is not None
        assert dict(drawn.shown) == shown


@pytest.mark.parametrize(
    "question",
    [
        "How long does the kettle need?",
        "Is it hr or finances?",
        "What are the 3 levels of 7?",
        "How many bytes are 2024 bits?",
        "Is the draft true?",
        "",
        "?" * 5_000,
    ],
)
def test_without_a_value_there_is_no_filter(question: str) -> None:
    assert INDEX.draw(question) is None


def test_every_key_must_match_and_any_of_its_values() -> None:
    drawn = INDEX.draw("What did HR and finance plan in 2023?")

    assert drawn is not None
    assert drawn.where is not None
    assert matches(drawn.where, {"department": "HR", "year": 2023})
    assert matches(drawn.where, {"department": "Finance", "year": 2023})
    assert not matches(drawn.where, {"department": "HR", "year": 2024})


def test_a_key_with_too_many_values_in_the_question_is_no_filter() -> None:
    names = frozenset(f"plan {number:03}" for number in range(100))

    assert FilterIndex.of({"plan": names}, frozenset()).draw(", ".join(sorted(names))) is None
