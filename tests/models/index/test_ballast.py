"""Ballast brings an index to a mean length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.index.ballast import LONG_TOKENS, MAX_DEVIATION, Ballast, IndexSize, ballast_for


@given(documents=st.integers(500, 10**7), mean=st.floats(5, 400), factor=st.floats(0.9, 1.1))
def test_the_mean_length_with_ballast_is_that_of_all_shards(documents: int, mean: float, factor: float) -> None:
    size = IndexSize(documents, round(documents * mean * factor))

    ballast = ballast_for(size, mean)

    balanced = IndexSize(size.num_documents + ballast.num_documents, size.num_tokens + ballast.num_tokens)
    assert balanced.mean_length == pytest.approx(mean, rel=max(MAX_DEVIATION, 1 / documents) + 1e-9)
    assert ballast.num_documents <= 0.3 * documents + LONG_TOKENS / (mean - 1)


def test_a_mean_that_is_near_enough_needs_no_ballast() -> None:
    assert ballast_for(IndexSize(10_000, 1_000_000), 100.01) == Ballast()
    assert ballast_for(IndexSize(10_000, 1_000_000), 101) != Ballast()


@pytest.mark.parametrize("mean", [0.5, 1, LONG_TOKENS])
def test_a_mean_that_no_ballast_reaches_is_left_alone(mean: float) -> None:
    assert ballast_for(IndexSize(10_000, 1_000_000), mean) == Ballast()


def test_ballast_has_as_many_documents_and_tokens_as_it_says() -> None:
    ballast = Ballast(num_short=3, num_long=2)

    texts = list(ballast.texts())

    assert len(texts) == ballast.num_documents == 5
    assert sum(len(text.split()) for text in texts) == ballast.num_tokens == 3 + 2 * LONG_TOKENS
