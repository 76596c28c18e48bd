"""One cache level: its memory, and Redis behind it."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from deployments.telemetry.metrics.caches import CACHE_HITS, CACHE_MISSES
from models.breaker import Breaker
from serve.caching.codec import DECODING_ERRORS
from serve.caching.config import LevelConfig, LevelName
from serve.caching.memory import MemoryTier

T = TypeVar("T")


class SharedTier(Protocol):
    """Entries of every level outside this process. It never fails a request: whatever goes wrong is a miss."""

    @property
    def breaker(self) -> Breaker:
        """Open while no call is made."""

    async def get(self, level: LevelName, key: str) -> bytes | None:
        """The payload; None if there is none, or if the server does not answer in time."""

    def put(self, level: LevelName, key: str, payload: bytes, ttl_s: float) -> None:
        """Begin to store the payload. No request waits for that."""

    async def close(self) -> None:
        """Cancel the writes under way, and close the connections."""


class CacheLevel:
    """Payloads by key. An entry that only Redis has is copied into memory when it is read."""

    def __init__(self, name: LevelName, config: LevelConfig, shared: SharedTier | None = None) -> None:
        self.name, self._config, self._shared = name, config, shared
        self._memory = MemoryTier(name, config)

    async def get(self, key: str) -> bytes | None:
        payload = self._memory.get(key)
        self._count("memory", payload)
        if payload is None and self._shared is not None:
            payload = await self._shared.get(self.name, key)
            self._count("redis", payload)
            if payload is not None:
                self._memory.put(key, payload)
        return payload

    async def get_decoded(self, key: str, decode: Callable[[bytes], T]) -> T | None:
        """The result of an entry; None if there is none, or if it cannot be read: then it is dropped."""
        payload = await self.get(key)
        if payload is None:
            return None
        try:
            return decode(payload)
        except DECODING_ERRORS:
            self.remove(key)
            return None

    def put(self, key: str, payload: bytes) -> None:
        self._memory.put(key, payload)
        if self._shared is not None:
            self._shared.put(self.name, key, payload, self._config.ttl_s)

    def put_encoded(self, key: str, encode: Callable[[T], bytes], result: T) -> None:
        """Store a result, unless it cannot be encoded: then it is computed again each time."""
        try:
            payload = encode(result)
        except TypeError:
            return
        self.put(key, payload)

    def remove(self, key: str) -> None:
        """Drop an entry that cannot be read. In Redis the next result replaces it."""
        self._memory.remove(key)

    def clear(self) -> None:
        """Empty the memory."""
        self._memory.clear()

    def _count(self, tier: str, payload: bytes | None) -> None:
        (CACHE_MISSES if payload is None else CACHE_HITS).labels(self.name, tier).inc()
