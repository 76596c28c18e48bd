import pytest

from models.generation.follow_up import search_query, stands_alone
from models.types import ChatMessage


def conversation(*questions: str) -> list[ChatMessage]:
    turns = [
        ChatMessage(role, text) for text in questions for role, text in (("user", text), ("assistant", "So it is."))
    ]
    return turns[:-1]


def test_a_follow_up_gets_the_words_of_the_question_before_it() -> None:
    messages = conversation("How long is the Delta barge?", "And what does it carry?")

    assert search_query(messages) == "And what does it carry? long Delta barge"


def test_words_that_it_has_and_older_questions_are_left_out() -> None:
    messages = conversation(
        "Who built the mill?", "Which barges visit the mill?", "Do barges pay at the mill in winter?"
    )

    assert search_query(messages) == "Do barges pay at the mill in winter? visit"


def test_a_lone_question_stays_as_it_is() -> None:
    assert search_query(conversation("How long is it?")) == "How long is it?"


@pytest.mark.parametrize(
    "question",
    [
        "How long does the kettle need to boil?",
        "Is there a limit for uploads?",
        "Wie lange braucht der Kessel zum Kochen?",
        "Können Sie die Garantie der Pumpe nennen?",
        "Quand ouvre la piscine municipale ?",
        "¿Cuándo abre la piscina municipal?",
        "无线网络的密码是什么？",
    ],
)
def test_a_complete_question_stands_alone(question: str) -> None:
    assert stands_alone(question)


@pytest.mark.parametrize(
    "question",
    [
        "And what does the barge carry?",
        "What about the red barge?",
        "How much water does it hold?",
        "Who repaired that?",
        "What is the price of that pump?",
        "The voltage?",
        "Wie schwer ist er und was kostet sein Deckel?",
        "Und die Garantie der Pumpe?",
        "Combien coûte son couvercle ?",
        "",
        "?!",
    ],
)
def test_a_question_with_a_pronoun_an_opener_or_one_word_does_not(question: str) -> None:
    assert not stands_alone(question)
