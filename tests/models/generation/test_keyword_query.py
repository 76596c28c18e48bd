"""Keywords of a question, and a transcript's last question made complete."""

import pytest

from models.generation.keyword_query import rewrite


@pytest.mark.parametrize(
    ("query", "searched"),
    [
        ("Could you please tell me what the height of the main silo is?", "height main silo"),
        ("I'd like to know when the IT department moves, please", "IT department moves"),
        ('Where does "the last of us" stand in version 2.1.0?', '"the last of us" stand version 2.1.0'),
        ("Show trial dates", "Show trial dates"),
        ("What's C++?", "C++"),
        ("Wie hoch ist der Turm der Kirche?", "hoch Turm Kirche"),
        ("塔有多高？", "塔有多高"),
        ("What is it?", "What is it?"),
        ("???", "???"),
        ("  ", "  "),
    ],
)
def test_a_question_becomes_its_keywords(query: str, searched: str) -> None:
    assert rewrite(query) == searched


@pytest.mark.parametrize("separator", ["\n", " "], ids=["lines", "one line"])
def test_a_transcript_becomes_its_last_question_made_complete(separator: str) -> None:
    transcript = ["User: Who built the granary?", "Assistant: Two brothers.", "User: And when was it painted?"]

    assert rewrite(separator.join(transcript)) == "And when was it painted? built granary"


def test_a_transcript_of_one_question_has_keywords() -> None:
    assert rewrite("Question: who built the granary?") == "built granary"


def test_a_long_query_takes_no_long_time() -> None:
    assert rewrite("please " * 20_000 + "granary") == "granary"
    assert rewrite("hello " * 20_000).startswith("hello")
