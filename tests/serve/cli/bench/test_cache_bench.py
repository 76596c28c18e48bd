"""`ragserve bench cache`: hits from the metrics, and the table."""

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from serve.cli.bench.cache.rows import MEMORY, WITHOUT, CacheRow, hits_of, table
from serve.cli.driver.stage_times import Percentiles

TIMES = Percentiles(0.1, 0.2, 0.3)


def test_hits_of_all_tiers_and_shared_computations_count_for_their_level() -> None:
    registry = CollectorRegistry()
    hits = Counter("ragserve_cache_hits_total", "Hits.", ["level", "tier"], registry=registry)
    misses = Counter("ragserve_cache_misses_total", "Misses.", ["level", "tier"], registry=registry)
    shared = Counter("ragserve_cache_shared_total", "Shared.", ["level"], registry=registry)
    hits.labels("answers", "memory").inc(3)
    hits.labels("answers", "redis").inc(2)
    shared.labels("answers").inc()
    hits.labels("embeddings", "memory").inc(7)
    misses.labels("answers", "memory").inc(90)

    assert hits_of(generate_latest(registry).decode()) == {"answers": 6, "embeddings": 7}


def test_the_table_compares_with_the_row_without_caches_and_names_the_limit() -> None:
    rows = [
        CacheRow(WITHOUT, 10.0, 200, TIMES, 80.0, {}, 0, 0),
        CacheRow(MEMORY, 12.0, 200, TIMES, 70.0, {"answers": 20, "embeddings": 1}, 0, 0),
    ]

    lines = table(rows, repeated=0.2).splitlines()

    assert lines[2].startswith("| without caches | 10.0 | 1.00 | 100 / 200 / 300 | 80 | 0.0% |")
    assert lines[3].startswith("| in process | 12.0 | 1.20 | 100 / 200 / 300 | 70 | 10.0% | 0.0% | 0.5% |")
    assert lines[-1].endswith("If a repetition were free: 1.25 times.")


@pytest.mark.parametrize("rows", [[], [CacheRow(MEMORY, 1.0, 1, TIMES, 1.0, {}, 0, 0)]])
def test_a_table_of_an_interrupted_run_has_no_comparison(rows: list[CacheRow]) -> None:
    assert "| 1.00 |" not in table(rows, repeated=0.1)
