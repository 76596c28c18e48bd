import pytest

from models.generation.follow_up import as_question, search_query, stands_alone
from models.types.generation import ChatMessage


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


def test_greetings_and_thanks_between_are_no_questions() -> None:
    messages = conversation("How long is the Delta barge?", "Thanks!", "Hello, and what does it carry?")

    assert search_query(messages) == "what does it carry? long Delta barge"


def test_the_words_of_a_long_question_are_added_once_and_not_without_limit() -> None:
    messages = conversation(" ".join(f"barge barge{number}" for number in range(500)), "And how?")

    added = search_query(messages).removeprefix("And how? ").split()

    assert added[:3] == ["barge", "barge0", "barge1"]
    assert len(added) == len(set(added)) == 64


@pytest.mark.parametrize("text", ["ก" * 600_000, "中" * 600_000, "A-1_" * 400_000, "c " * 900_000, "a" * 1_900_000])
def test_a_huge_turn_adds_few_characters(text: str) -> None:
    question = "And how?"

    assert len(search_query(conversation(*[text] * 24, question))) <= len(question) + 1_000


def test_the_end_of_a_huge_turn_is_what_it_asks() -> None:
    messages = conversation("lore " * 400_000 + "How long is the Delta barge?", "And what does it carry?")

    assert search_query(messages).endswith(" long Delta barge")


@pytest.mark.parametrize(
    ("message", "question"),
    [
        ("Thanks! How do I back it up?", "How do I back it up?"),
        ("hello and how do I back it up?", "how do I back it up?"),
        ("Danke, wo liegt die Mühle?", "wo liegt die Mühle?"),
        ("No, I meant for the embedder.", "for the embedder."),
        ("wait, not that. Who owns the mill?", "Who owns the mill?"),
        ("No GPU here?", "No GPU here?"),
        ("Hello World program?", "Hello World program?"),
        ("Thanks!", "Thanks!"),
        ("I mean", "I mean"),
    ],
)
def test_what_a_message_asks_is_behind_its_greeting(message: str, question: str) -> None:
    assert as_question(message) == question


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
        "How large can a file be?",
    ],
)
def test_a_complete_question_stands_alone(question: str) -> None:
    assert stands_alone(question)


@pytest.mark.parametrize(
    "question",
    [
        "And what does the barge carry?",
        "What about the red barge?",
        "How many are there?",
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
