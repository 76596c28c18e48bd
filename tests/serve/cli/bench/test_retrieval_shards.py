"""The benchmark of keyword shards searches them as the client does."""

import numpy as np
import pytest

from serve.cli.bench.retrieval.run import JudgedQueries
from serve.cli.bench.retrieval.shards import ShardRow, search_shards


@pytest.mark.parametrize("num_shards", [2, 5])
def test_any_number_of_shards_has_the_hits_of_one_index(num_shards: int) -> None:
    texts = [f"ferry {'island ' * (number % 4)}word{number % 3}" for number in range(40)]
    questions = JudgedQueries("small", texts, ["island ferry", "word2", "nothing"], [{0: 1}] * 3)

    sharded, whole = search_shards(questions, num_shards), search_shards(questions, 1)

    for result, expected in zip(sharded, whole, strict=True):
        assert result.ranking.keys.tolist() == expected.ranking.keys.tolist()
        np.testing.assert_allclose(result.ranking.scores, expected.ranking.scores, rtol=1e-5)


def test_a_row_is_a_line_of_markdown() -> None:
    assert ShardRow(4, 0.36541, 0.41, 0.9955).line() == "| 4 | 0.3654 | 0.4100 | 0.996 |"
