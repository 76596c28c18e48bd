"""The questions of a load test have the skew of the trace, and are the same for the same seed."""

from collections import Counter
from pathlib import Path

import pytest

from loadtests.questions import HOT_ACCESSES, REPEAT_PROBABILITY, Questions, skew_exponent, zipf_weights


def topics(count: int) -> list[list[str]]:
    """So many questions in each topic that a chance repeat is rare."""
    return [[f"{topic}/{number}" for number in range(100_000)] for topic in range(count)]


def test_five_percent_of_the_topics_get_their_accesses() -> None:
    weights = zipf_weights(1_000, skew_exponent(1_000))

    assert sum(weights[:50]) / sum(weights) == pytest.approx(HOT_ACCESSES, abs=0.001)


def test_draws_are_skewed_and_repeat_as_often_as_in_the_trace() -> None:
    questions = Questions(topics(200))

    drawn = [questions.next() for _ in range(20_000)]

    by_topic = Counter(question.split("/")[0] for question in drawn)
    hottest = sum(count for _, count in by_topic.most_common(10))
    assert hottest / len(drawn) == pytest.approx(HOT_ACCESSES, abs=0.03)
    assert 1 - len(set(drawn)) / len(drawn) == pytest.approx(REPEAT_PROBABILITY, abs=0.01)


def test_the_same_seed_draws_the_same_questions() -> None:
    first, again, other = (Questions(topics(20), seed) for seed in (1, 1, 2))

    drawn = [[questions.next() for _ in range(50)] for questions in (first, again, other)]

    assert drawn[0] == drawn[1] != drawn[2]


def test_the_built_in_questions_end_with_a_question_mark() -> None:
    questions = Questions.built_in()

    assert len({questions.next() for _ in range(2_000)}) >= 50
    assert all(questions.next().endswith("?") for _ in range(200))


def test_questions_come_from_a_folder_in_beirs_layout(shared_data: Path) -> None:
    questions = Questions.from_folder(shared_data / "cran")

    assert len({questions.next() for _ in range(500)}) > 50
