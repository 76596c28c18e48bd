import numpy as np
import pytest

from models.index.max_sim import max_sim

RIGHT, UP = [1.0, 0.0], [0.0, 1.0]


def vectors(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 2)


def scores_of(query: np.ndarray, weights: np.ndarray, documents: list[np.ndarray]) -> np.ndarray:
    return max_sim(query, weights, np.concatenate([vectors(), *documents]), [len(document) for document in documents])


def uniform(num: int) -> np.ndarray:
    return np.ones(num, np.float32)


def test_each_query_token_takes_its_best_match() -> None:
    scores = scores_of(vectors(RIGHT, UP), uniform(2), [vectors(RIGHT), vectors([0.5, 0], [0, 0.25], RIGHT)])

    # First: right finds 1, up finds 0. Second: right finds 1, up finds 0.25.
    assert scores.tolist() == pytest.approx([0.5, 0.625])
    assert scores.dtype == np.float32


def test_weights_make_a_weighted_mean() -> None:
    scores = scores_of(vectors(RIGHT, UP), np.array([3, 1], np.float32), [vectors(RIGHT), vectors(UP)])

    assert scores.tolist() == pytest.approx([0.75, 0.25])


def test_a_document_does_not_take_its_neighbours_tokens() -> None:
    scores = scores_of(vectors(RIGHT), uniform(1), [vectors(UP, UP), vectors(RIGHT), vectors(UP)])

    assert scores.tolist() == [0, 1, 0]


def test_a_document_without_tokens_scores_least() -> None:
    scores = scores_of(vectors(RIGHT), uniform(1), [vectors(), vectors([-0.5, 0]), vectors()])

    assert scores.tolist() == [-1, -0.5, -1]


def test_without_documents_there_are_no_scores() -> None:
    assert scores_of(vectors(RIGHT), uniform(1), []).shape == (0,)


def test_a_query_without_tokens_leaves_the_candidates_alike() -> None:
    assert len(set(scores_of(vectors(), uniform(0), [vectors(RIGHT), vectors(UP)]).tolist())) == 1
