import numpy as np
import pytest

from models.errors.requests import InvalidRequestError
from models.retrieval.diversity import maximal_marginal_relevance
from models.types.arrays import FloatArray

SCORES = np.array([0.9, 0.8, 0.7, 0.5], np.float32)
# The second equals the first. The third and fourth differ from both, and from each other.
VECTORS = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)


def reference(scores: FloatArray, vectors: FloatArray, k: int, diversity: float) -> list[int]:
    """The paper's formula, written out: one candidate and one comparison at a time."""
    relevance = (scores - scores.min()) / (scores.max() - scores.min())
    order = [int(np.argmax(relevance))]
    while len(order) < min(k, len(scores)):
        gains = {
            place: (1 - diversity) * relevance[place]
            - diversity * max(vectors[place] @ vectors[chosen] for chosen in order)
            for place in range(len(scores))
            if place not in order
        }
        order.append(max(gains, key=lambda place: gains[place]))
    return order


def test_a_repetition_ranks_below_a_new_candidate() -> None:
    order = maximal_marginal_relevance(SCORES, VECTORS, 4, 0.5)

    # Scaled: 1, 0.75, 0.5, 0. After the first, the second adds 0.375 - 0.5, the third 0.25, the fourth 0.
    assert order.tolist() == [0, 2, 3, 1]


def test_no_diversity_orders_by_score() -> None:
    scores = np.array([0.1, 0.9, 0.5, 0.9], np.float32)

    assert maximal_marginal_relevance(scores, VECTORS, 4, 0).tolist() == [1, 3, 2, 0]


def test_full_diversity_begins_with_the_best_and_repeats_last() -> None:
    scores = np.array([0.5, 0.9, 0.7, 0.8], np.float32)

    assert maximal_marginal_relevance(scores, VECTORS, 4, 1).tolist() == [1, 2, 3, 0]


@pytest.mark.parametrize("diversity", [0.1, 0.3, 0.7])
def test_it_equals_the_formula_of_the_paper(diversity: float) -> None:
    random = np.random.default_rng(3)
    vectors = random.normal(size=(60, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = random.random(60, np.float32)

    order = maximal_marginal_relevance(scores, vectors, 20, diversity)

    assert order.tolist() == reference(scores, vectors, 20, diversity)


@pytest.mark.parametrize(("k", "expected"), [(0, []), (1, [0]), (9, [0, 2, 3, 1])])
def test_there_are_k_places_or_as_many_as_candidates(k: int, expected: list[int]) -> None:
    assert maximal_marginal_relevance(SCORES, VECTORS, k, 0.5).tolist() == expected


def test_equal_scores_differ_by_their_vectors_alone() -> None:
    assert maximal_marginal_relevance(np.ones(4, np.float32), VECTORS, 4, 0.5).tolist() == [0, 2, 3, 1]


def test_no_candidates_have_no_order() -> None:
    order = maximal_marginal_relevance(np.empty(0, np.float32), np.empty((0, 3), np.float32), 5, 0.5)

    assert order.tolist() == []


@pytest.mark.parametrize("diversity", [-0.1, 1.1, float("nan")])
def test_a_diversity_outside_its_range_is_refused(diversity: float) -> None:
    with pytest.raises(InvalidRequestError, match="0 to 1"):
        maximal_marginal_relevance(SCORES, VECTORS, 2, diversity)
