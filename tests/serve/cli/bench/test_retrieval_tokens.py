"""`ragserve bench retrieval --tokens` on vectors made by hand."""

import numpy as np
import pytest

from models.index.token_codec import TokenCodecConfig, encode_tokens
from serve.cli.bench.retrieval.tokens import TokenQuery, TokenSet, TokenVariant, measure_tokens, pool_similar, table

RIGHT, UP, BETWEEN = [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]
EXACT = TokenVariant("float16", lambda tokens: encode_tokens(tokens, config=TokenCodecConfig(bits=16, pooling=1)))


def rows(*vectors: list[float]) -> np.ndarray:
    return np.array(vectors, np.float16).reshape(-1, 2)


def asking(*vectors: list[float], gold: int) -> TokenQuery:
    return TokenQuery(rows(*vectors), np.ones(len(vectors), np.float32), np.array([0, 1, 2]), {gold: 1})


@pytest.fixture
def letters() -> TokenSet:
    return TokenSet("letters", [rows(UP, UP), rows(RIGHT, UP), rows()], [asking(RIGHT, UP, gold=1)])


def test_the_document_with_the_nearest_tokens_comes_first(letters: TokenSet) -> None:
    row = measure_tokens(letters, EXACT)

    # Document 1 is best, 2 has no tokens. A header of 12 bytes and 2 * 2 float16 for two of the three documents.
    assert row.ndcg == 1
    assert row.chunk_bytes == pytest.approx(2 * (12 + 8) / 3)


def test_the_table_has_a_line_a_variant_with_its_loss(letters: TokenSet) -> None:
    head, _, exact, *others = table([letters])

    assert head == "| stored vectors | bytes a chunk | ms a question | letters |"
    assert exact.startswith("| float16 | 13 | ")
    assert exact.endswith("| 1.0000 (+0.0000) |")
    assert sum("(default)" in line for line in [exact, *others]) == 1


def test_similar_tokens_are_pooled_wherever_they_are() -> None:
    pooled = pool_similar(rows(RIGHT, UP, BETWEEN, [1.0, 0.01], UP, [0.61, 0.79]), 2)

    assert sorted(pooled.round(1).tolist()) == [pytest.approx(vector, abs=0.05) for vector in (UP, BETWEEN, RIGHT)]
