import numpy as np

from models.reranking.late_interaction import token_weights


def spans(text: str, *tokens: str) -> np.ndarray:
    starts = [text.index(token) for token in tokens]
    return np.array([(start, start + len(token)) for start, token in zip(starts, tokens, strict=True)]).reshape(-1, 2)


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
