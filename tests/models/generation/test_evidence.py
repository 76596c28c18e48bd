import numpy as np
import pytest

from models.generation.evidence import MIN_EVIDENCE, Features, Signals, estimate_evidence, probability, read_features
from tests.models.generation.samples import RIVER, TOWER, passage

NEAR = Signals(relevance=0.8, cosine=0.7)


def test_features_are_those_of_the_best_passage_and_the_nearest_sentence() -> None:
    passages = (passage(RIVER), passage(TOWER))
    scores = (np.array([0.2, np.nan], np.float32), np.array([0.1, 0.75, 0.3], np.float32))

    features = read_features("When was the tower completed?", passages, {"tower": 2.0, "completed": 2.0}, scores, NEAR)

    assert features == Features(1.0, 1.0, 0.7, 0.8, 0.75)


def test_a_keyword_is_judged_by_the_words_alone() -> None:
    features = read_features("tower?", (passage(TOWER),), {"tower": 2.0}, (np.ones(3, np.float32),), NEAR)

    assert features == Features(1.0, 1.0)


def test_half_of_the_words_by_weight() -> None:
    features = read_features("tower opera", (passage(TOWER),), {"tower": 3.0, "opera": 3.0}, (), Signals())

    assert features == Features(0.5, 0.5)


@pytest.mark.parametrize("name", ["passage_words", "sentence_words", "cosine", "relevance", "sentence"])
def test_more_of_any_feature_is_more_evidence(name: str) -> None:
    low = Features(0.4, 0.4, 0.4, 0.4, 0.4)
    high = Features(**(vars(low) | {name: 0.9}))

    assert 0 < probability(low) < probability(high) < 1


def test_without_a_model_the_words_decide() -> None:
    assert probability(Features(1.0, 1.0)) > 0.9
    assert probability(Features(0.2, 0.1)) < 0.1
    assert Features(0.2, 0.1, cosine=0.9).vector() == [0.2, 0.1]


def test_no_passage_is_no_evidence() -> None:
    assert estimate_evidence("Why?", (), {}, (), NEAR) == 0.0


def test_a_sentence_with_every_word_of_the_question_suffices() -> None:
    assert probability(Features(1.0, 1.0, 0.1, 0.3, 0.3)) == MIN_EVIDENCE
    assert probability(Features(1.0, 0.9, 0.1, 0.3, 0.3)) < MIN_EVIDENCE
