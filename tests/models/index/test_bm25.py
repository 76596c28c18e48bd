"""BM25 as Tantivy computes it, from counts that several indexes add up."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.index.analysis import terms_of
from models.index.bm25 import NO_COUNTS, WordCounts, rounded_length, scores, total
from models.index.tantivy_shard import TantivyShard

WORDS = ("ferry", "museum", "island", "ticket", "w5")


@pytest.mark.parametrize(
    ("num_tokens", "length"), [(0, 0), (24, 24), (39, 39), (40, 40), (41, 40), (42, 42), (57, 56), (1000, 984)]
)
def test_a_length_keeps_its_four_highest_bits(num_tokens: int, length: int) -> None:
    assert rounded_length(num_tokens) == length


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=80), min_size=1, max_size=12))
def test_scores_are_those_of_tantivy(texts: list[list[str]]) -> None:
    index, keys = TantivyShard(), np.arange(len(texts))
    index.add(keys, keys, [" ".join(text) for text in texts])
    terms = ["ferri", "museum", "museum"]  # as stemmed

    expected = index.search("ferry museum museum", 100).ranking
    computed = scores([Counter(terms_of(" ".join(text))) for text in texts], terms, index.count("ferry museum"))

    assert [computed[key] for key in expected.keys.tolist()] == pytest.approx(expected.scores.tolist(), rel=1e-5)
    assert sum(score > 0 for score in computed) == len(expected)


def test_counts_add_up() -> None:
    left, right = WordCounts(2, 3, 10, {"ferri": 1}), WordCounts(1, 1, 2, {"ferri": 1, "museum": 1})

    both = total([left, right])

    assert both == WordCounts(3, 4, 12, {"ferri": 2, "museum": 1})
    assert both.mean_length == 3
    assert both.score_weight("museum") == pytest.approx(np.log(1 + 3.5 / 1.5))
    assert both.weight(["museum"]) == pytest.approx(np.log(1 + 2.5 / 1.5))
    assert total([]) == NO_COUNTS


def test_a_term_that_only_removed_chunks_have_weighs_no_less_than_zero() -> None:
    assert WordCounts(1, 9, 9, {"ferri": 8}).weight(["ferri"]) >= 0
