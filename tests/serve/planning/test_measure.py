"""Fitting, and what can be measured without a cluster."""

from pathlib import Path

import pytest

from models.index.faiss_config import FaissConfig
from serve.planning.fit import fit, fit_growth
from serve.planning.measure_pipeline import pipeline_seconds
from serve.planning.measure_search import measure_dense, measure_lexical, stored
from serve.planning.texts import Texts
from serve.settings import Settings


def test_a_line_is_found_again() -> None:
    sizes = (1, 2, 4, 8)

    assert fit(sizes, [0.01 + 0.002 * size for size in sizes]) == pytest.approx((0.01, 0.002))


def test_no_cost_is_negative() -> None:
    # Twice the items in three times the time: nothing is fixed.
    assert fit((1, 2), (0.1, 0.3)) == (0.0, pytest.approx(0.125))


def test_what_grows_is_told_from_what_does_not() -> None:
    # 1 ms, and 2 ms more for each 1,000 chunks.
    per_item_s, growth = fit_growth("linear", (1_000, 0.003), (10_000, 0.021))

    assert per_item_s == pytest.approx(0.001)
    assert growth.per_item_s == pytest.approx(0.020)
    assert growth.seconds(5_000) == pytest.approx(0.010)


def test_texts_are_never_the_same() -> None:
    texts = Texts()

    assert len(set(texts.passages(100) + texts.questions(100))) == 200


async def test_the_searches_and_the_ingress_are_measured_over_a_corpus_of_their_own(tmp_path: Path) -> None:
    texts = Texts()
    few, many = (stored(size, 16, texts, tmp_path / str(size)) for size in (60, 120))

    dense = measure_dense(FaissConfig(), few, many, 10, turn_s=0.0)
    lexical = measure_lexical(few, many, texts, 10, turn_s=0.0)
    pipeline_s = await pipeline_seconds(Settings(), many, texts)
    for one in (few, many):
        one.corpus.close()

    assert dense.growth is not None
    assert (dense.growth.kind, dense.growth.at_chunks, dense.bytes_per_chunk) == ("linear", 120, 64.0)
    assert lexical.seconds(1) > 0
    assert pipeline_s > 0
