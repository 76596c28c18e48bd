import numpy as np
import pytest

from models.reranking.late_interaction import max_sim, token_weights

RIGHT, UP = [1.0, 0.0], [0.0, 1.0]


def vectors(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 2)


def scores_of(query: np.ndarray, weights: np.ndarray, documents: list[np.ndarray]) -> np.ndarray:
    return max_sim(query, weights, np.concatenate([vectors(), *documents]), [len(document) for document in documents])


def spans(text: str, *tokens: str) -> np.ndarray:
    starts = [text.index(token) for token in tokens]
    return np.array([(start, start + len(token)) for start, token in zip(starts, tokens, strict=True)]).reshape(-1, 2)


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


def test_pieces_of_a_word_share_its_weight() -> None:
    query = "Anteater costs"

    weights = token_weights(query, spans(query, "Ant", "eater", "costs"), {"anteater": 5.0, "costs": 2.0})

    assert weights.tolist() == [5, 5, 2]


def test_an_unknown_word_weighs_as_much_as_the_heaviest() -> None:
    query = "zeppelin costs"

    assert token_weights(query, spans(query, "zeppelin", "costs"), {"costs": 2.0, "other": 3.0}).tolist() == [3, 2]


def test_all_tokens_weigh_alike_without_term_weights() -> None:
    query = "what now?"

    assert token_weights(query, spans(query, "what", "now", "?"), {}).tolist() == [1, 1, 1]


def test_all_tokens_weigh_alike_where_weights_leave_nothing() -> None:
    query = "?!"

    assert token_weights(query, spans(query, "?", "!"), {"costs": 2.0}).tolist() == [1, 1]


def test_punctuation_weighs_nothing_beside_words() -> None:
    query = "costs?"

    assert token_weights(query, spans(query, "costs", "?"), {"costs": 2.0}).tolist() == [2, 0]
