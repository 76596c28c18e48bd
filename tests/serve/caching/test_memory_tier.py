"""Memory holds a number of bytes, drops the least recently used entry first, and forgets after a time."""

from prometheus_client import REGISTRY

from serve.caching.config import MIB, LevelConfig
from serve.caching.memory import OVERHEAD_BYTES, MemoryTier

FOURTH = b"x" * (MIB // 4 - OVERHEAD_BYTES)


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(name, {"level": "answers"}) or 0.0


def test_the_least_recently_read_entry_makes_room() -> None:
    tier, evictions = MemoryTier("answers", LevelConfig(max_mb=1)), metric("ragserve_cache_evictions_total")
    for key in "abcd":
        tier.put(key, FOURTH)
    tier.get("a")

    tier.put("e", FOURTH)

    assert [key for key in "abcde" if tier.get(key)] == ["a", "c", "d", "e"]
    assert metric("ragserve_cache_evictions_total") - evictions == 1
    assert tier.num_bytes == metric("ragserve_cache_bytes") == MIB


def test_an_entry_larger_than_the_tier_drops_no_other() -> None:
    tier = MemoryTier("answers", LevelConfig(max_mb=1))
    tier.put("a", b"small")

    tier.put("b", b"x" * MIB)

    assert (tier.get("a"), tier.get("b")) == (b"small", None)


def test_an_entry_ends_after_its_time() -> None:
    clock = Clock()
    tier = MemoryTier("answers", LevelConfig(ttl_s=10), clock)
    tier.put("a", b"small")

    clock.now = 9.9
    before = tier.get("a")
    clock.now = 10.1

    assert (before, tier.get("a")) == (b"small", None)


def test_a_replaced_and_a_removed_entry_free_their_bytes() -> None:
    tier = MemoryTier("answers", LevelConfig())
    tier.put("a", b"x" * 100)

    tier.put("a", b"y" * 10)
    size = tier.num_bytes
    tier.remove("a")

    assert (size, tier.num_bytes) == (10 + OVERHEAD_BYTES, 0)
