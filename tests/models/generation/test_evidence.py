from dataclasses import replace

import numpy as np
import pytest

from models.generation.evidence import (
    MIN_EVIDENCE,
    Features,
    Signals,
    estimate_evidence,
    probability,
    read_features,
)
from models.generation.evidence_weights import E5, MINILM, TRANSLATED_WEIGHTS, WEIGHTS, Space
from models.generation.words import words
from tests.models.generation.samples import RIVER, TOWER, passage

NEAR = Signals(relevance=0.8, cosine=0.7)


def test_features_are_those_of_the_best_passage_and_the_nearest_sentence() -> None:
    passages = (passage(RIVER), passage(TOWER))
    scores = (np.array([0.2, np.nan], np.float32), np.array([0.1, 0.75, 0.3], np.float32))

    features = read_features("When was the tower completed?", passages, {"tower": 2.0, "completed": 2.0}, scores, NEAR)

    assert features == Features(1.0, 1.0, 0.7, 0.8, 0.75, value=True)


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
    assert probability(Features(0.2, 0.1)) < 0.3
    assert Features(0.2, 0.1, cosine=0.9).vector() == [0.2, 0.1, 1.0, 0.9]


@pytest.mark.parametrize(("space", "score"), [(MINILM, 0.75), (E5, 0.9)])
@pytest.mark.parametrize("names", list(WEIGHTS[MINILM]))
def test_a_feature_that_is_missing_lowers_no_evidence(names: tuple[str, ...], space: Space, score: float) -> None:
    near = replace(Features(0.6, 0.6, size=0.2, space=space), **dict.fromkeys(names, score))

    assert near.measured == names
    assert probability(near) > MIN_EVIDENCE


@pytest.mark.parametrize("names", list(TRANSLATED_WEIGHTS[E5]))
def test_a_question_in_another_language_than_the_passages_needs_no_word_of_theirs(names: tuple[str, ...]) -> None:
    far, near = (
        replace(Features(0.0, 0.0, space=E5, is_translated=True), **dict.fromkeys(names, score))
        for score in (0.74, 0.88)
    )

    assert probability(far) < MIN_EVIDENCE < probability(near)


@pytest.mark.parametrize(
    ("question", "is_translated"),
    [
        ("Wann wurde der Turm fertig?", True),
        ("塔是什么时候建成的？", True),
        ("When was the tower completed?", False),
    ],
)
def test_the_language_of_a_question_is_compared_with_the_passages(question: str, is_translated: bool) -> None:
    near = Signals(0.88, 0.88, space=E5)

    features = read_features(question, (passage(TOWER),), {}, (np.full(3, 0.88, np.float32),), near)

    assert features.is_translated is is_translated
    assert probability(features) > MIN_EVIDENCE
    assert not read_features(question, (passage(TOWER),), {}, (), replace(near, space=MINILM)).is_translated


def test_a_few_chunks_need_less_similarity_than_many() -> None:
    few, many = (Features(0.4, 0.4, 0.4, 0.55, 0.5, size=size) for size in (0.2, 1.0))

    assert probability(many) < MIN_EVIDENCE < probability(few)


SERVICE = (
    "# Crane C40\n\nThe crane lifts 9 tonnes.\n\n## Guarantee\n\nThe guarantee ends after 60 months.\n\n"
    "## Dates\n\nDie Abnahme erfolgt am 4. Mai. Berth number 7 is 30 metres long. CVE-2023-2211 affects the winch."
)


@pytest.mark.parametrize(
    ("question", "is_answered"),
    [
        ("How long does the guarantee last?", True),
        ("guarantee period", True),
        ("Wann ist die Abnahme?", True),
        ("How long is berth number 7?", True),
        ("How long is berth number 30?", False),
        ("What does C41 lift?", False),
        ("What does CVE-2023-2211 affect?", True),
        ("What does CVE-2023-9999 affect?", False),
        ("Who painted the Night Watch?", False),
    ],
)
def test_by_words_alone_in_one_short_document(question: str, is_answered: bool) -> None:
    # As the index weighs words where there is one chunk: those that it has weigh next to nothing.
    weights = {word: 0.29 if word in words(SERVICE) else 1.39 for word in words(question)}

    evidence = estimate_evidence(question, (passage(SERVICE),), weights, (), Signals(num_candidates=1))

    assert (evidence >= MIN_EVIDENCE) == is_answered


@pytest.mark.parametrize(
    "question", ["\N{THINKING FACE}\N{THINKING FACE}", "วันนี้อากาศเป็นอย่างไร", "今天天气怎么样？", "?!"]
)
def test_vectors_of_words_that_the_model_does_not_know_are_no_evidence(question: str) -> None:
    text, same = "ความดันสูงสุดคือสิบหกบาร์", Signals(1.0, 1.0, 1)

    assert estimate_evidence(question, (passage(text),), {}, (np.ones(1, np.float32),), same) < MIN_EVIDENCE
    assert estimate_evidence("ความดันสูงสุด", (passage(text),), {}, (), same) >= MIN_EVIDENCE


def test_a_sign_that_the_document_has_is_evidence() -> None:
    assert estimate_evidence("\N{THINKING FACE}", (passage("Ask \N{THINKING FACE} first."),), {}, (), NEAR) == 1.0


def test_no_passage_is_no_evidence() -> None:
    assert estimate_evidence("Why?", (), {}, (), NEAR) == 0.0


def test_a_sentence_with_every_word_of_the_question_suffices() -> None:
    assert probability(Features(1.0, 1.0, 0.1, 0.3, 0.3)) == MIN_EVIDENCE
    assert probability(Features(1.0, 0.9, 0.1, 0.3, 0.3)) < MIN_EVIDENCE


LAMP = "The lamp L9 holds 2 candles. It burns for 6 hours. It hangs in the hall."


@pytest.mark.parametrize(
    ("question", "is_answered"),
    [
        ("How much does the lamp cost?", False),
        ("Who repairs the lamp?", False),
        ("What colour is the lamp?", False),
        ("How heavy is the lamp?", False),
        ("How heavy is the lamp L9?", False),
        ("How long does the lamp burn?", True),
        ("How many candles does the lamp hold?", True),
        ("Where is the lamp?", True),
    ],
)
def test_without_a_value_of_the_sort_that_is_asked_for_there_is_no_evidence(question: str, is_answered: bool) -> None:
    # As near as the models find a question about the subject of the only document.
    near, scores = Signals(0.6, 0.7, 1), (np.array([0.6, 0.5, 0.5], np.float32),)

    evidence = estimate_evidence(question, (passage(LAMP),), {}, scores, near)

    assert (evidence >= MIN_EVIDENCE) == is_answered


@pytest.mark.parametrize("question", ["?", "???", "and?", "and and and", "what can you do?", "a", "Was ist es?"])
def test_a_text_that_asks_nothing_has_no_evidence(question: str) -> None:
    text = "what is lost? | what you can do | and a"

    assert estimate_evidence(question, (passage(text),), {}, (), Signals(1.0, 1.0, 1)) == 0.0
