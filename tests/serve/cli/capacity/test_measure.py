"""Fitting, and the measurements that need no cluster."""

from pathlib import Path

import pytest

from models.index.faiss_config import FaissConfig
from serve.cli.capacity.fit import fit, fit_growth
from serve.cli.capacity.measure import slowed, with_service
from serve.cli.capacity.measure_search import measure_dense, measure_lexical, store_corpus
from serve.cli.capacity.measure_service import ServiceTimes
from serve.cli.capacity.profile import BatchTimes, GenerationTimes, Growth
from serve.cli.capacity.texts import Texts


def test_a_line_is_fitted_exactly() -> None:
    sizes = (1, 2, 4, 8)

    assert fit(sizes, [0.01 + 0.002 * size for size in sizes]) == pytest.approx((0.01, 0.002))


def test_no_fitted_time_is_negative() -> None:
    # Twice the items take three times as long, so the fixed time would be negative.
    assert fit((1, 2), (0.1, 0.3)) == (0.0, pytest.approx(0.125))


def test_growth_is_separated_from_the_constant_time() -> None:
    # 1 ms, plus 2 ms per 1,000 chunks.
    per_item_s, growth = fit_growth("linear", (1_000, 0.003), (10_000, 0.021))

    assert per_item_s == pytest.approx(0.001)
    assert growth.per_item_s == pytest.approx(0.020)
    assert growth.seconds(5_000) == pytest.approx(0.010)


def test_all_texts_differ() -> None:
    texts = Texts()

    assert len(set(texts.passages(100) + texts.questions(100))) == 200


def test_the_searches_are_measured_over_a_synthetic_corpus(tmp_path: Path) -> None:
    texts = Texts()
    small, large = (store_corpus(size, 16, texts, tmp_path / str(size)) for size in (60, 120))

    dense = measure_dense(FaissConfig(), small, large, 10, turn_s=0.0)
    lexical = measure_lexical(small, large, texts, 10, turn_s=0.0)
    for stored in (small, large):
        stored.corpus.close()

    assert dense.growth is not None
    assert (dense.growth.kind, dense.growth.at_chunks, dense.bytes_per_chunk) == ("linear", 120, 64.0)
    assert lexical.seconds(1) > 0


def test_messages_cost_the_cpu_time_beyond_the_computation() -> None:
    batch = BatchTimes(per_item_s=0.001)
    stages = {"embed": batch, "dense": batch, "lexical": batch, "rerank": batch}
    engine = GenerationTimes(prefill_s=0.1, step_s=0.01, step_item_s=0.001, tokens=20, max_requests=8)
    cpu_s = {"ingress": 0.020, "embed": 0.004, "dense": 0.002, "lexical": 0.004, "rerank": 0.0005, "generate": 0.1}
    served = ServiceTimes(cpu_s, {"dense": 0.003, "lexical": 0.005, "rerank": 0.5}, idle_cpus=0.2)

    ingress, measured = with_service(
        stages | {"generate": engine}, dict.fromkeys(stages, 0.001), served, max_wait_s=0.01
    )

    # The messages of the searches cost 1 and 3 ms, so each of the five messages of the ingress costs 2 ms.
    assert (ingress.message_cpu_s, ingress.cpu_s) == (0.002, pytest.approx(0.010))
    assert ingress.hop_s == pytest.approx(0.003)
    assert [measured[name].message_cpu_s for name in ("embed", "dense", "rerank")] == [0.003, 0.001, 0.0]
    assert measured["generate"].message_cpu_s is None


def test_all_cpu_times_slow_down_by_the_factor() -> None:
    growth = Growth(kind="linear", at_chunks=100, per_item_s=0.03)
    times = BatchTimes(fixed_s=0.01, per_item_s=0.02, growth=growth, message_cpu_s=0.001, memory_gb=2)

    times_slowed = slowed(times, 1.5)

    assert (times_slowed.fixed_s, times_slowed.per_item_s, times_slowed.message_cpu_s) == (0.015, 0.03, 0.0015)
    assert times_slowed.growth == Growth(kind="linear", at_chunks=100, per_item_s=0.045)
    assert times_slowed.memory_gb == 2
