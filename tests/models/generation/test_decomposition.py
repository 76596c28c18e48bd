"""Compound questions and their parts."""

import pytest

from models.generation.decomposition import read_parts, searched_parts, split_question, splitting_messages
from models.prompts.library import default_prompts


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        (
            "What is the fine and how long is the guarantee?",
            ("What is the fine?", "how long is the guarantee?"),
        ),
        ("Who built the mill? When was the dam finished?", ("Who built the mill?", "When was the dam finished?")),
        (
            "Where is the pump, what does the pump weigh, and who repairs the pump?",
            ("Where is the pump, what does the pump weigh?", "who repairs the pump?"),
        ),
        (
            "Wie hoch ist die Strafe und wie lange gilt die Garantie?",
            ("Wie hoch ist die Strafe?", "wie lange gilt die Garantie?"),
        ),
        (
            "Quel est le prix du billet et quand ouvre la piscine ?",
            ("Quel est le prix du billet?", "quand ouvre la piscine ?"),
        ),
        ("Describe the pump, and who repairs it?", ("Describe the pump?", "who repairs it?")),
        ("¿Cuánto cuesta la bomba y dónde está la fábrica?", ("¿Cuánto cuesta la bomba?", "dónde está la fábrica?")),
    ],
)
def test_a_question_of_two_things_has_two_parts(question: str, parts: tuple[str, ...]) -> None:
    assert split_question(question, 3) == parts


@pytest.mark.parametrize(
    "question",
    [
        "What is the difference between salt and pepper?",
        "When and how was the mill built?",
        "Which pump leaked and was replaced?",
        "How do I install and configure the service?",
        "Tell me who built it and when.",
        "Research and development",
        "Disney paid for The Jungle Book and which other film?",
        "Can I call back? It is important.",
        "?",
        "",
        "What? Why?",
        "and what and what and what",
        "x and " * 2_000,
    ],
)
def test_a_question_of_one_thing_stays_whole(question: str) -> None:
    assert split_question(question, 3) == (question,)


def test_the_same_question_twice_is_one() -> None:
    assert split_question("Who built the mill and who built the mill?", 3) == (
        "Who built the mill and who built the mill?",
    )
    assert len(split_question("Who built the mill? Who owns it now? who built the mill", 5)) == 2


def test_there_are_at_most_so_many_parts_and_no_word_is_lost() -> None:
    question = "Who owns the mill? Who owns the dam? Who owns the pump? Who owns the quay?"

    assert split_question(question, 2) == (
        "Who owns the mill?",
        "Who owns the dam? and Who owns the pump? and Who owns the quay?",
    )
    assert len(split_question(question, 6)) == 4


def test_a_part_that_needs_the_first_is_searched_with_its_words() -> None:
    parts = split_question("Who built the Delta mill and when was it finished?", 3)

    assert searched_parts(parts) == ["Who built the Delta mill?", "when was it finished? built Delta mill"]


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("1. Who built the mill?\n2. How old is the mill?", ("Who built the mill?", "How old is the mill?")),
        ("Who built the mill?", ()),
        ("Who built the mill?\nWhat is the capital of France?", ()),
        ("Who built the mill?\nHow old is the mill?\nWho owns the mill?\nIs the mill old?", ()),
        ("", ()),
    ],
)
def test_a_models_parts_count_if_they_are_about_the_question(written: str, parts: tuple[str, ...]) -> None:
    assert read_parts(written, "Who built the mill and how old is it?", 3) == parts


def test_the_prompt_shows_an_example_of_a_split_question() -> None:
    messages = splitting_messages("What is it and who made it?", default_prompts().texts.understanding)

    assert [message.role for message in messages] == ["system", "user", "assistant", "user"]
    assert "\n" in messages[2].content
