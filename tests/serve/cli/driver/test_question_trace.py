"""The trace of questions has RAGPulse's shape, whatever the sets and its length."""

import pytest

from serve.cli.driver.corpus.real import SetQuestion
from serve.cli.driver.question_trace import REPEATED, TOP_SHARE, question_trace, shape_of

QUESTIONS = [
    SetQuestion(f"What is {place} of {number}?", f"set/d{number}") for number in range(1_500) for place in range(2)
]


@pytest.mark.parametrize("num_requests", [300, 1_500, 5_000])
def test_it_has_the_published_shape(num_requests: int) -> None:
    shape = shape_of(question_trace(QUESTIONS, num_requests))

    assert shape.repeated == pytest.approx(REPEATED, abs=0.005)
    assert shape.top_share == pytest.approx(TOP_SHARE, abs=0.03)


def test_the_same_seed_gives_the_same_trace() -> None:
    assert question_trace(QUESTIONS, 200, seed=3) == question_trace(QUESTIONS, 200, seed=3)
    assert question_trace(QUESTIONS, 200, seed=3) != question_trace(QUESTIONS, 200, seed=4)


def test_a_document_s_own_questions_come_before_reworded_ones() -> None:
    questions = [SetQuestion("How hot?", "set/oven"), SetQuestion("How old?", "set/oven")]

    texts = list(dict.fromkeys(question.text for question in question_trace(questions, 8)))

    assert texts[:3] == ["How hot?", "How old?", "Please tell me: How hot?"]
    assert len(texts) == 7


def test_repeated_questions_keep_their_document() -> None:
    documents = {(question.text, question.document) for question in question_trace(QUESTIONS, 1_000)}

    assert len({text for text, _ in documents}) == len(documents)
