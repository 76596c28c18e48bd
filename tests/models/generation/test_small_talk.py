import pytest

from models.generation.declining import small_talk


@pytest.mark.parametrize(
    "text",
    ["Hi!", "hello there", "Good morning everyone :)", "Hey, how are you today?", "GUTEN TAG", "你好！", "¡Hola!"],
)
def test_greetings_are_no_questions(text: str) -> None:
    assert small_talk(text) == "greeting"


@pytest.mark.parametrize(
    "text",
    ["Thanks!", "thank you so much, that was great", "ok, thanks", "Vielen Dank und tschüss", "merci beaucoup", "谢谢"],
)
def test_thanks_are_no_questions(text: str) -> None:
    assert small_talk(text) == "thanks"


@pytest.mark.parametrize(
    "text",
    [
        "Hi, how do I scale the embedder?",
        "Thanks, and what voltage does it need?",
        "hello world program",
        "Who wrote Good Morning Vietnam?",
        "Is it?",
        "yes please",
        "?",
        "thank you letter template",
    ],
)
def test_whatever_may_be_looked_up_is_a_question(text: str) -> None:
    assert small_talk(text) is None
