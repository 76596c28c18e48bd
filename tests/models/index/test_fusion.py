from collections.abc import Callable

import numpy as np
import pytest

from models.errors.requests import InvalidRequestError
from models.index.fusion import Fusion, fuse, min_max_fusion, reciprocal_rank_fusion
from models.types.ranking import Ranking

MergeRankings = Callable[..., Ranking]


def ranking(**scores: float) -> Ranking:
    """`a=3.0` is key 1 (a is the first letter) with score 3."""
    keys = [ord(letter) - ord("a") + 1 for letter in scores]
    return Ranking(np.array(keys, np.int64), np.array(list(scores.values()), np.float32))


def test_reciprocal_rank_fusion_adds_one_over_k_plus_rank() -> None:
    fused = reciprocal_rank_fusion([ranking(a=9, b=8), ranking(b=0.9, c=0.1)], k=1)

    # a: 1/2. b: 1/3 + 1/2 = 5/6. c: 1/3.
    assert fused.keys.tolist() == [2, 1, 3]
    assert fused.scores.tolist() == pytest.approx([5 / 6, 1 / 2, 1 / 3])


def test_reciprocal_rank_fusion_scales_each_list_by_its_weight() -> None:
    fused = reciprocal_rank_fusion([ranking(a=9, b=8), ranking(b=0.9, c=0.1)], k=1, weights=[3, 1])

    # a: 3/2. b: 3/3 + 1/2 = 3/2, first seen after a. c: 1/3.
    assert fused.keys.tolist() == [1, 2, 3]
    assert fused.scores.tolist() == pytest.approx([1.5, 1.5, 1 / 3])


def test_reciprocal_rank_fusion_uses_sixty_by_default() -> None:
    assert reciprocal_rank_fusion([ranking(a=1)]).scores.tolist() == pytest.approx([1 / 61])


def test_min_max_fusion_averages_scaled_scores() -> None:
    fused = min_max_fusion([ranking(a=10, b=6, c=2), ranking(b=0.9, d=0.5)])

    # Scaled: a 1, b 0.5, c 0; b 1, d 0. Means: a 0.5, b 0.75, c 0, d 0.
    assert fused.keys.tolist() == [2, 1, 3, 4]
    assert fused.scores.tolist() == pytest.approx([0.75, 0.5, 0, 0])


def test_min_max_fusion_weighs_the_mean() -> None:
    fused = min_max_fusion([ranking(a=10, b=6, c=2), ranking(b=0.9, d=0.5)], weights=[3, 1])

    # a: 3/4 * 1. b: 3/4 * 0.5 + 1/4 * 1 = 0.625.
    assert fused.keys.tolist() == [1, 2, 3, 4]
    assert fused.scores.tolist() == pytest.approx([0.75, 0.625, 0, 0])


def test_min_max_fusion_counts_equal_scores_as_one() -> None:
    fused = min_max_fusion([ranking(a=4), ranking(b=7, c=7)])

    assert fused.keys.tolist() == [1, 2, 3]
    assert fused.scores.tolist() == pytest.approx([0.5, 0.5, 0.5])


@pytest.mark.parametrize("merge", [reciprocal_rank_fusion, min_max_fusion])
class TestBoth:
    def test_ties_keep_the_order_of_first_appearance(self, merge: MergeRankings) -> None:
        fused = merge([ranking(z=1), ranking(c=1), ranking(m=1)])

        assert fused.keys.tolist() == [26, 3, 13]

    def test_one_list_keeps_its_order(self, merge: MergeRankings) -> None:
        assert merge([ranking(q=3, b=2, x=1)]).keys.tolist() == [17, 2, 24]

    def test_an_empty_list_adds_nothing(self, merge: MergeRankings) -> None:
        assert merge([Ranking.empty(), ranking(b=2, a=1)]).keys.tolist() == [2, 1]

    @pytest.mark.parametrize("rankings", [[], [Ranking.empty(), Ranking.empty()]])
    def test_nothing_fuses_to_nothing(self, merge: MergeRankings, rankings: list[Ranking]) -> None:
        assert len(merge(rankings)) == 0

    def test_the_result_has_the_dtypes_of_a_ranking(self, merge: MergeRankings) -> None:
        fused = merge([ranking(a=1), ranking(b=1)])

        assert (fused.keys.dtype, fused.scores.dtype) == (np.int64, np.float32)

    @pytest.mark.parametrize("weights", [[1.0], [1.0, 1.0, 1.0], [-1.0, 2.0], [0.0, 0.0]])
    def test_weights_that_do_not_fit_are_refused(self, merge: MergeRankings, weights: list[float]) -> None:
        with pytest.raises(InvalidRequestError):
            merge([ranking(a=1), ranking(b=1)], weights=weights)


@pytest.mark.parametrize("k", [0, -1])
def test_reciprocal_rank_fusion_refuses_a_k_below_one(k: int) -> None:
    with pytest.raises(InvalidRequestError, match="at least 1"):
        reciprocal_rank_fusion([ranking(a=1)], k=k)


def test_min_max_of_three_rankings_weighs_each() -> None:
    three = [ranking(a=3, b=1), ranking(b=2, c=0), ranking(c=9, a=5)]

    fused = fuse(three, Fusion("min_max", (0.5, 0.3, 0.2)))

    # a: 0.5 * 1. b: 0.3 * 1. c: 0.2 * 1.
    assert fused.keys.tolist() == [1, 2, 3]
    assert fused.scores.tolist() == pytest.approx([0.5, 0.3, 0.2])


def test_rrf_of_three_rankings_weighs_each() -> None:
    three = [ranking(a=3, b=1), ranking(b=2, c=0), ranking(c=9, a=5)]

    fused = fuse(three, Fusion("rrf", (1, 2, 6), rrf_k=1))

    # a: 1/2 + 6/3 = 2.5. b: 1/3 + 2/2 = 4/3. c: 2/3 + 6/2 = 11/3. First in all three: (1 + 2 + 6)/2 = 4.5, which is 1.
    assert fused.keys.tolist() == [3, 1, 2]
    assert fused.scores.tolist() == pytest.approx([11 / 3 / 4.5, 2.5 / 4.5, 4 / 3 / 4.5])


def test_min_max_with_equal_weights_is_the_default() -> None:
    pair = [ranking(a=10, b=6, c=2), ranking(b=0.9, d=0.5)]

    fused = fuse(pair, Fusion())

    assert fused.keys.tolist() == [2, 1, 3, 4]
    assert fused.scores.tolist() == pytest.approx([0.75, 0.5, 0, 0])


def test_a_weight_of_zero_leaves_the_order_of_the_others() -> None:
    assert fuse([ranking(a=2, b=1), ranking(c=9)], Fusion("min_max", (1, 0))).keys.tolist()[0] == 1
    assert fuse([ranking(a=2, b=1), ranking(c=9)], Fusion("rrf", (0, 1))).keys.tolist()[0] == 3


@pytest.mark.parametrize("fusion", [Fusion("rrf", rrf_k=0), Fusion("min_max", (1,)), Fusion("sum")])  # type: ignore[arg-type]
def test_an_invalid_fusion_is_refused(fusion: Fusion) -> None:
    with pytest.raises(InvalidRequestError):
        fuse([ranking(a=1), ranking(b=1)], fusion)
