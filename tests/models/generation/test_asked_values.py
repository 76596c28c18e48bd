"""Which value a question asks for, and whether a text may have one."""

import pytest

from models.generation.asked_values import asked_value, values_in

LAMP = "The lamp L9 holds 2 candles. It burns for 6 hours."


@pytest.mark.parametrize(
    ("question", "sort"),
    [
        ("How much does the lamp cost?", "price"),
        ("What is the price of the lamp?", "price"),
        ("Was kostet die Lampe?", "price"),
        ("Who repairs the lamp?", "person"),
        ("Wer repariert die Lampe?", "person"),
        ("When was the lamp made?", "time"),
        ("In what year was the lamp made?", "time"),
        ("Wann wurde die Lampe gebaut?", "time"),
        ("Where is the lamp made?", "place"),
        ("Wo steht die Lampe?", "place"),
        ("How long does the lamp burn?", "duration"),
        ("How heavy is the lamp?", "weight"),
        ("How much does the lamp weigh?", "weight"),
        ("What colour is the lamp?", "colour"),
        ("Which voltage does the lamp need?", "voltage"),
        ("How hot does the lamp get?", "temperature"),
        ("How many candles does the lamp hold?", "number"),
        ("What percentage of lamps fail?", "percentage"),
        ("What is the phone number of the lamp shop?", "phone number"),
    ],
)
def test_the_form_of_a_question_tells_the_value(question: str, sort: str) -> None:
    asked = asked_value(question)

    assert asked is not None
    assert asked.name == sort


@pytest.mark.parametrize(
    "question",
    [
        "What is a lamp?",
        "How do I clean the lamp?",
        "Why does the lamp flicker?",
        "lamp",
        "",
        "How much effort is it?",
        "Who is Ada Lund?",
    ],
)
def test_other_questions_ask_for_no_value_of_a_form(question: str) -> None:
    assert asked_value(question) is None


def test_a_text_has_the_values_that_it_may_have() -> None:
    assert {"duration", "number"} <= values_in(LAMP)
    assert {"price", "person", "place", "weight", "colour", "voltage"}.isdisjoint(values_in(LAMP))


@pytest.mark.parametrize(
    ("text", "sort"),
    [
        ("It costs 9 EUR.", "price"),
        ("Adults: $12", "price"),
        ("Entry is free.", "price"),
        ("Repairs are made by Ada Lund.", "person"),
        ("The caretaker opens the gate.", "person"),
        ("It was built in 1790.", "time"),
        ("It opens at 9:30.", "time"),
        ("Es wird jeden Dienstag gewartet.", "time"),
        ("It stands in the yard.", "place"),
        ("Es wiegt 9 kg.", "weight"),
        ("The lid is dark green.", "colour"),
        ("It runs on 230 V.", "voltage"),
        ("Keep it at 80 °C.", "temperature"),
        ("Call 030 / 12 34 56.", "phone number"),
    ],
)
def test_values_in_many_forms(text: str, sort: str) -> None:
    assert sort in values_in(text)
