"""Caches in benchmarks."""

from pathlib import Path

from serve.caching.config import LEVELS
from serve.cli.driver.caches import counts_of, describe_hits, without_caches
from serve.config_file import Machine, check, read, settings_of

SHIPPED = Path(__file__).parents[4] / "serve_config.yaml"
METRICS = """# TYPE ragserve_cache_hits_total counter
ragserve_cache_hits_total{level="answers",tier="memory"} 12.0
ragserve_cache_misses_total{level="answers",tier="memory"} 88.0
ragserve_cache_misses_total{application="ragserve",level="embeddings",tier="memory",replica="x"} 7.0
ragserve_cache_misses_total{level="embeddings",tier="redis"} 7.0
"""


def test_every_cache_is_switched_off() -> None:
    raw = read(SHIPPED)

    settings = settings_of(without_caches(raw))

    assert [settings.cache.level(level).enabled for level in LEVELS] == [False] * len(LEVELS)
    assert check(without_caches(raw), Machine(2, 0)) == []
    assert raw == read(SHIPPED)


def test_hits_are_read_from_the_metrics() -> None:
    assert counts_of(METRICS) == {"answers": (12, 88), "embeddings": (0, 7)}


def test_hit_rates_are_of_what_happened_in_between() -> None:
    after = {"answers": (12, 88), "embeddings": (0, 7)}

    assert describe_hits({"answers": (2, 38)}, after) == "hits: answers 16.7% of 60, embeddings 0.0% of 7"
    assert describe_hits(after, after) == ""
