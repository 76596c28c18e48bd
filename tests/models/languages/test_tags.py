import pytest

from models.languages.interrogatives import tag_of_question
from models.languages.tags import language_tag


@pytest.mark.parametrize(
    ("question", "tag"),
    [
        ("Wie viel kostet es?", "de"),
        ("Was kostet die Pumpe?", "de"),
        ("Warum?", "de"),
        ("Quanto costa?", "it"),
        ("Quel est le prix ?", "fr"),
        ("¿Cuánto cuesta?", "es"),
        ("Hoeveel kost het?", "nl"),
        ("Ile to kosztuje?", "pl"),
        ("Qu’est-ce que RAG ?", "fr"),
        ("価格はいくらですか", "ja"),
    ],
)
def test_the_first_words_of_a_short_question_tell_its_language(question: str, tag: str) -> None:
    assert language_tag(question) == tag


@pytest.mark.parametrize(
    "question",
    ["Was the pump sold?", "Who?", "Comment on the price.", "So was it?", "", "?", "How much is it?"],
)
def test_english_questions_are_english(question: str) -> None:
    assert language_tag(question) == "en"


def test_a_sentence_begins_with_no_question_word() -> None:
    assert tag_of_question("Die Pumpe kostet warum auch immer mehr.") == ""
