from models.generation.follow_up import search_query
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
