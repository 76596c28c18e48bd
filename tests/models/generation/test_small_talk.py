import pytest

from models.generation.small_talk import small_talk


@pytest.mark.parametrize(
    "text",
    [
        "Hi!",
        "hello there",
        "Good morning everyone :)",
        "Hey, how are you today?",
        "GUTEN TAG",
        "你好！",
        "¡Hola!",
        "Bonjour, ça va ?",
        "¿Cómo estás?",
        "สวัสดีครับ",
        "你好吗？",
        "Привет, как дела?",
        "Wie geht es dir?",
        "お元気ですか",
    ],
)
def test_greetings_are_no_questions(text: str) -> None:
    assert small_talk(text) == "greeting"


@pytest.mark.parametrize(
    "text",
    [
        "Thanks!",
        "thank you so much, that was great",
        "ok, thanks",
        "Vielen Dank und tschüss",
        "merci beaucoup",
        "谢谢",
        "Danke schön",
        "ขอบคุณค่ะ",
        "谢谢你",
        "Merci pour votre aide",
        "Herzlichen Dank für die Hilfe",
        "どうもありがとうございました",
    ],
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
        "谢谢这个词怎么写",
        "Comment ça marche ?",
        "Hilfe für die Einrichtung",
    ],
)
def test_whatever_may_be_looked_up_is_a_question(text: str) -> None:
    assert small_talk(text) is None
