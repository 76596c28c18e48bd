"""Figures that can be redone by hand, and intervals that can be checked against the textbook's."""

import math

import numpy as np
import pytest

from serve.cli.eval.measures import estimates, measure

QRELS = {"q1": {"a": 2, "b": 1}, "q2": {"c": 1}, "q3": {"z": 1}}


def test_figures_are_those_of_the_definitions() -> None:
    rankings = {"q1": ("x", "b", "a"), "q2": ("c",), "q3": ()}

    found = measure(rankings, QRELS, ks=(2, 5))

    gain, ideal = 1 / math.log2(3) + 2 / math.log2(4), 2 / math.log2(2) + 1 / math.log2(3)
    assert found["nDCG@10"] == pytest.approx([gain / ideal, 1, 0])
    assert found["MRR@10"] == pytest.approx([1 / 2, 1, 0])
    assert found["recall@2"] == pytest.approx([1 / 2, 1, 0])
    assert found["recall@5"] == pytest.approx([1, 1, 0])
    assert found["precision@2"] == pytest.approx([1 / 2, 1 / 2, 0])
    assert found["precision@5"] == pytest.approx([2 / 5, 1 / 5, 0])


def test_the_order_of_the_ranking_counts_and_not_the_ids() -> None:
    ahead = measure({"q2": ("c", "b")}, QRELS, ks=(1,))
    behind = measure({"q2": ("d", "c")}, QRELS, ks=(1,))

    assert ahead["MRR@10"] == [1]
    assert behind["MRR@10"] == [0.5]


def test_what_stands_past_the_tenth_place_counts_for_recall_at_more_alone() -> None:
    ranking = (*(f"x{place}" for place in range(10)), "c")

    found = measure({"q2": ranking}, QRELS, ks=(10, 20))

    assert (found["nDCG@10"], found["MRR@10"], found["recall@10"], found["recall@20"]) == ([0], [0], [0], [1])


def test_queries_outside_the_rankings_count_nothing() -> None:
    found = measure({"q2": ("c",)}, QRELS, ks=(5,))

    assert found["recall@5"] == [1]


def test_an_interval_is_the_textbook_one_where_both_are_right() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, 1000)

    (found,) = estimates(values[None, :])

    margin = 1.96 * values.std(ddof=1) / math.sqrt(1000)
    assert found.mean == pytest.approx(values.mean())
    assert found.margin == pytest.approx(margin, rel=0.08)
    assert found.low < found.mean < found.high


def test_equal_values_leave_no_doubt() -> None:
    found = estimates(np.array([[0.25, 0.25, 0.25], [1.0, 1.0, 1.0]]))

    assert [(one.mean, one.margin) for one in found] == [pytest.approx((0.25, 0)), pytest.approx((1, 0))]


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("num_queries", [1, 7, 60])
def test_an_interval_holds_its_mean_whatever_is_rounded(value: float, num_queries: int) -> None:
    (found,) = estimates(np.full((1, num_queries), value))

    assert found.low <= found.mean <= found.high


def test_the_same_values_give_the_same_interval() -> None:
    values = np.random.default_rng(2).random((2, 50))

    assert estimates(values) == estimates(values)
