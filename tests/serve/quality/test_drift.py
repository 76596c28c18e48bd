"""Divergence of scores, checked by hand and against scipy; and the window, the reference and its replacement."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from models.corpus.corpus import Corpus
from serve.quality.config import DriftConfig
from serve.quality.drift import Drift, kolmogorov_smirnov, population_stability_index
from tests.inline import open_corpus

CONFIG = DriftConfig(reference="first", reference_size=200, window=100)


@pytest.fixture
def corpus(tmp_path: Path) -> Iterator[Corpus]:
    with closing(open_corpus(tmp_path)) as opened:
        yield opened


def normal(mean: float, count: int, seed: int) -> list[float]:
    return list(np.clip(np.random.default_rng(seed).normal(mean, 0.1, count), 0, 1))


def fill(drift: Drift, scores: list[float]) -> None:
    for score in scores:
        drift.add({"evidence": score})


def test_the_index_of_two_bins_can_be_redone_by_hand() -> None:
    reference, recent = np.array([0.0] * 80 + [1.0] * 20), np.array([0.0] * 50 + [1.0] * 50)

    # Of 102, with half an observation in each of four bins: 80.5 and 20.5; 50.5 and 50.5. The outer two are equal.
    expected = (30 * np.log(80.5 / 50.5) - 30 * np.log(20.5 / 50.5)) / 102
    assert population_stability_index(reference, recent) == pytest.approx(expected)
    assert kolmogorov_smirnov(reference, recent) == pytest.approx(0.3)


def test_what_lies_outside_a_reference_of_equal_scores_counts() -> None:
    for constant, elsewhere in ((1.0, 0.5), (0.0, 1.0)):
        reference = np.full(100, constant)
        assert population_stability_index(reference, np.full(50, elsewhere)) > 2
        assert population_stability_index(reference, np.full(50, constant)) < 0.1


def test_the_distance_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for seed in range(5):
        samples = np.array(normal(0.6, 150, seed)), np.array(normal(0.5, 70, seed + 10))
        assert kolmogorov_smirnov(*samples) == pytest.approx(stats.ks_2samp(*samples).statistic)


def test_scores_of_the_same_kind_diverge_little_and_others_much(corpus: Corpus) -> None:
    drift = Drift(corpus.score_references, CONFIG)
    fill(drift, normal(0.8, 200, 1))
    assert drift.divergences() == {}

    fill(drift, normal(0.8, 100, 2))
    same = drift.divergences()["evidence"]
    fill(drift, normal(0.4, 100, 3))
    moved = drift.divergences()["evidence"]

    assert (same.psi < 0.25, same.ks < 0.2) == (True, True)
    assert (moved.psi > 2, moved.ks > 0.8) == (True, True)


def test_another_replica_and_a_restart_use_the_stored_reference(corpus: Corpus) -> None:
    fill(Drift(corpus.score_references, CONFIG), normal(0.8, 200, 1))

    restarted = Drift(corpus.score_references, CONFIG)
    fill(restarted, normal(0.4, 100, 2))

    assert restarted.divergences()["evidence"].psi > 2
    assert restarted.reference_size == 200


def test_a_new_name_starts_a_new_reference(corpus: Corpus) -> None:
    fill(Drift(corpus.score_references, CONFIG), normal(0.8, 200, 1))

    renamed = Drift(corpus.score_references, CONFIG.model_copy(update={"reference": "new model"}))
    fill(renamed, normal(0.4, 200, 2))
    fill(renamed, normal(0.4, 100, 3))

    assert renamed.divergences()["evidence"].psi < 0.25
    assert corpus.score_references.get("first") == {}


def test_a_score_that_few_answers_of_the_reference_had_is_not_compared(corpus: Corpus) -> None:
    drift = Drift(corpus.score_references, CONFIG)
    for number in range(200):
        drift.add({"evidence": 0.5} | ({"support": 1.0} if number < 49 else {}))
    for _ in range(100):
        drift.add({"evidence": 0.5, "support": 0.0})

    assert set(drift.divergences()) == {"evidence"}
