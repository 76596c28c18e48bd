import numpy as np
import pytest

from models.generation.evidence import Features
from models.generation.evidence_weights import MINILM, WEIGHTS
from serve.cli.bench.evidence.cases import Case, is_answered
from serve.cli.bench.evidence.fit import fit_weights, group_weights, logistic
from serve.cli.bench.evidence.run import auroc, costs, price, threshold_table


def test_auroc_counts_pairs_in_the_right_order() -> None:
    # Of four pairs two are right, one is a tie and one is wrong: (2 + 0.5) / 4.
    assert auroc(np.array([3.0, 1.0], np.float32), np.array([2.0, 1.0], np.float32)) == pytest.approx(0.625)


def test_logistic_regression_finds_the_shares_of_two_groups() -> None:
    rows, labels = np.array([[0.0]] * 4 + [[1.0]] * 4), np.array([1, 0, 0, 0, 1, 1, 1, 0], float)

    intercept, weight = logistic(rows, labels, np.ones(8))

    assert 1 / (1 + np.exp(-intercept)) == pytest.approx(0.25, abs=0.01)
    assert 1 / (1 + np.exp(-intercept - weight)) == pytest.approx(0.75, abs=0.01)


def test_each_kind_and_each_set_weighs_alike() -> None:
    features = Features(0.5, 0.5)
    cases = [Case("a", "a", "answerable", features)] * 3 + [Case("b", "b", "answerable", features)]
    cases += [Case("a", "b", "off topic", features)] * 2

    assert group_weights(cases).tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2, 1 / 2, 1 / 2])


def test_each_set_of_features_has_a_fit_of_the_questions_that_have_them() -> None:
    whole, words = Features(0.9, 0.9, 0.8, 0.8, 0.8), Features(0.1, 0.1)
    cases = [Case("a", "a", "answerable", whole), Case("a", "b", "off topic", words)]
    cases += [Case("a", "b", "off topic", Features(0.1, 0.1, 0.2, 0.2, 0.2))]

    lines = list(fit_weights(cases))

    assert len(lines) == len(WEIGHTS[MINILM])
    assert lines[0].startswith("words, size, cosine, relevance, sentence: intercept")
    assert [len(line.partition("weights")[2].split(",")) for line in (lines[0], lines[-1])] == [6, 3]


def test_the_cost_is_that_of_the_median_question() -> None:
    cases = [Case("a", "a", "answerable", Features(0.5, 0.5), float(ms), 0.25) for ms in range(1, 4)]

    assert costs(cases) == "ms of CPU a question: first 2.00 (p95 2.90); passages read before 0.25 (p95 0.25)"


def test_a_question_that_a_passage_answers_is_not_off_topic() -> None:
    passages = ["The halftime show took place at Levi's Stadium in Santa  Clara, California."]

    assert is_answered(("Santa Clara",), passages)
    assert not is_answered(("Clara, Santa", "Santa Clar"), passages)


def test_an_answer_of_three_letters_is_in_many_passages_by_chance() -> None:
    assert not is_answered(("two",), ["It took two years."])
    assert is_answered(("four",), ["It took four years."])


def test_the_price_is_counted_at_the_evidence_that_declines_the_off_topic_questions() -> None:
    answerable = [Case("a", "a", "answerable", Features(share, share)) for share in (0.2, 0.95, 0.98, 0.99)]
    off_topic = [Case("a", "b", "off topic", Features(share / 20, share / 20)) for share in range(20)]

    first, second = price(answerable + off_topic)

    assert first.startswith("Of 20 off-topic questions 95 % are declined below 0.")
    assert second == "Answerable questions declined below it: a 1 of 4 (25.0 %)"


def test_each_threshold_declines_a_share_of_each_set() -> None:
    cases = [Case("a", "a", "answerable", Features(share, share)) for share in (0.0, 0.99)]
    cases += [Case("a", "b", "off topic", Features(0.0, 0.0))]

    header, _, *rows = threshold_table(cases)

    assert header == "| declined below | a, answerable | a, off topic | all off topic |"
    assert "| 0.3 | 50.0 % | 100.0 % | 100.0 % |" in rows
