"""Metrics checked by hand, intervals checked against the normal approximation."""

import math

import numpy as np
import pytest

from serve.cli.eval.measures import estimates, measure

QRELS = {"q1": {"a": 2, "b": 1}, "q2": {"c": 1}, "q3": {"z": 1}}


def test_metrics_follow_their_definitions() -> None:
    rankings = {"q1": ("x", "b", "a"), "q2": ("c",), "q3": ()}

    values = measure(rankings, QRELS, ks=(2, 5))

    gain, ideal = 1 / math.log2(3) + 2 / math.log2(4), 2 / math.log2(2) + 1 / math.log2(3)
    assert values["nDCG@10"] == pytest.approx([gain / ideal, 1, 0])
    assert values["MRR@10"] == pytest.approx([1 / 2, 1, 0])
    assert values["recall@2"] == pytest.approx([1 / 2, 1, 0])
    assert values["recall@5"] == pytest.approx([1, 1, 0])
    assert values["precision@2"] == pytest.approx([1 / 2, 1 / 2, 0])
    assert values["precision@5"] == pytest.approx([2 / 5, 1 / 5, 0])


def test_the_order_of_the_ranking_counts_and_not_the_ids() -> None:
    ahead = measure({"q2": ("c", "b")}, QRELS, ks=(1,))
    behind = measure({"q2": ("d", "c")}, QRELS, ks=(1,))

    assert ahead["MRR@10"] == [1]
    assert behind["MRR@10"] == [0.5]


def test_a_hit_below_rank_ten_counts_only_for_larger_cutoffs() -> None:
    ranking = (*(f"x{rank}" for rank in range(10)), "c")

    values = measure({"q2": ranking}, QRELS, ks=(10, 20))

    assert (values["nDCG@10"], values["MRR@10"], values["recall@10"], values["recall@20"]) == ([0], [0], [0], [1])


def test_queries_without_a_ranking_are_not_measured() -> None:
    values = measure({"q2": ("c",)}, QRELS, ks=(5,))

    assert values["recall@5"] == [1]


def test_the_interval_matches_the_normal_approximation_on_a_large_sample() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, 1000)

    (estimate,) = estimates(values[None, :])

    margin = 1.96 * values.std(ddof=1) / math.sqrt(1000)
    assert estimate.mean == pytest.approx(values.mean())
    assert estimate.margin == pytest.approx(margin, rel=0.08)
    assert estimate.low < estimate.mean < estimate.high


def test_equal_values_give_an_interval_without_width() -> None:
    rows = estimates(np.array([[0.25, 0.25, 0.25], [1.0, 1.0, 1.0]]))

    assert [(estimate.mean, estimate.margin) for estimate in rows] == [pytest.approx((0.25, 0)), pytest.approx((1, 0))]


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("num_queries", [1, 7, 60])
def test_an_interval_contains_its_mean_despite_rounding(value: float, num_queries: int) -> None:
    (estimate,) = estimates(np.full((1, num_queries), value))

    assert estimate.low <= estimate.mean <= estimate.high


def test_the_same_values_give_the_same_interval() -> None:
    values = np.random.default_rng(2).random((2, 50))

    assert estimates(values) == estimates(values)
