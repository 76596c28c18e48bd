"""The first tier: bytes in this process, the least recently used dropped first."""

import time
from collections.abc import Callable
from typing import Any

from cachetools import TTLCache

from deployments.telemetry.metrics.caches import CACHE_BYTES, CACHE_EVICTIONS
from serve.caching.config import MIB, LevelConfig, LevelName

# Of an entry beside its payload: the key, and the links of the cache's two lists (tracemalloc, Python 3.11).
OVERHEAD_BYTES = 600


class MemoryTier:
    """Entries of one level by key, sized in bytes. Belongs to one event loop."""

    def __init__(self, level: LevelName, config: LevelConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._level = level
        self._max_bytes = config.max_mb * MIB
        self._entries = _CountedCache(level, self._max_bytes, config.ttl_s, clock)

    def get(self, key: str) -> bytes | None:
        payload: bytes | None = self._entries.get(key)
        return payload

    def put(self, key: str, payload: bytes) -> None:
        """Keep the payload, unless it alone is larger than the tier."""
        if _size(payload) <= self._max_bytes:
            self._entries[key] = payload
            self._report()

    def remove(self, key: str) -> None:
        self._entries.pop(key, None)
        self._report()

    def clear(self) -> None:
        self._entries.clear()
        self._report()

    @property
    def num_bytes(self) -> int:
        return int(self._entries.currsize)

    def _report(self) -> None:
        CACHE_BYTES.labels(self._level).set(self.num_bytes)


def _size(payload: bytes) -> int:
    return len(payload) + OVERHEAD_BYTES


class _CountedCache(TTLCache[str, bytes]):
    """A TTLCache that counts the entries that it drops for want of room."""

    def __init__(self, level: LevelName, max_bytes: int, ttl_s: float, clock: Callable[[], float]) -> None:
        super().__init__(max_bytes, ttl_s, timer=clock, getsizeof=_size)
        self._level = level

    def popitem(self) -> Any:
        CACHE_EVICTIONS.labels(self._level).inc()
        return super().popitem()
