from serve.cli.bench.understanding.run import ndcg, pairs
from serve.cli.driver.question_set import LeftOut, QuestionSet

QUESTIONS = QuestionSet(
    "mills",
    (),
    {"a": "Who built the mill?", "b": "When was the dam built?", "c": "Why?", "d": "Where is it?"},
    {"a": {"1": 1}, "b": {"2": 1}, "c": {"3": 1}, "d": {"1": 1}},
    LeftOut(),
    {"a": ("Ada",), "b": ("1790",)},
)


def test_a_pair_is_one_question_with_the_answers_of_both() -> None:
    (pair,) = pairs(QUESTIONS, 9)

    assert pair.text in (
        "Who built the mill and when was the dam built?",
        "When was the dam built and who built the mill?",
    )
    assert sorted(pair.answers) == [("1790",), ("Ada",)]


def test_ndcg_is_1_for_the_best_order_and_lower_for_others() -> None:
    assert ndcg(["1", "2", "3"], {"1": 2, "2": 1}) == 1.0
    assert 0 < ndcg(["3", "2", "1"], {"1": 2, "2": 1}) < 1
    assert ndcg(["3"], {"1": 1}) == 0.0
