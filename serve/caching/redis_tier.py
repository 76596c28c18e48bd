"""The second tier: Redis, shared by all ingress replicas and still warm after a restart. It never fails a request."""

import asyncio
import logging
from hashlib import blake2b

from pydantic import SecretStr
from redis.exceptions import ResponseError

from deployments.telemetry.metrics.caches import CACHE_ERRORS
from models.breaker import Breaker
from serve.caching.config import LevelName
from serve.redis_server import TIMEOUT_S, RedisServer, RedisUnavailableError

logger = logging.getLogger(__name__)

# Raise the version when the meaning of an entry changes: entries of other versions are then never read.
NAMESPACE = "ragserve:cache:2"
MAX_WRITES = 256  # under way; further ones are dropped
CHECKSUM_BYTES = 16


class RedisTier:
    """Entries of every level. An error, a late answer or a broken entry is a miss. Belongs to one event loop.

    The password in the URL is in no message: errors are logged by their class alone.
    """

    def __init__(self, url: SecretStr, timeout_s: float = TIMEOUT_S) -> None:
        self._server = RedisServer(url, timeout_s)
        self._writes: set[asyncio.Task[None]] = set()  # owned here until they end

    @property
    def breaker(self) -> Breaker:
        return self._server.breaker

    async def get(self, level: LevelName, key: str) -> bytes | None:
        """The payload, None if there is none or Redis does not answer in time."""
        name = _name(level, key)
        try:
            return _checked(name, await self._server.call(lambda: self._server.client.get(name)))
        except (RedisUnavailableError, ResponseError) as error:
            self._failed(error)
            return None

    def put(self, level: LevelName, key: str, payload: bytes, ttl_s: float) -> None:
        """Begin to store the payload; no request waits for that."""
        if len(self._writes) >= MAX_WRITES or self.breaker.is_open:
            return
        write = asyncio.get_running_loop().create_task(self._write(_name(level, key), payload, ttl_s))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)

    async def flush(self) -> None:
        """Wait for the writes under way."""
        await asyncio.gather(*self._writes)

    async def close(self) -> None:
        for write in self._writes:
            write.cancel()
        await asyncio.gather(*self._writes, return_exceptions=True)
        await self._server.close()

    async def _write(self, name: str, payload: bytes, ttl_s: float) -> None:
        entry, ttl_ms = _checksum(name, payload) + payload, round(ttl_s * 1000)
        try:
            await self._server.call(lambda: self._server.client.set(name, entry, px=ttl_ms))
        except (RedisUnavailableError, ResponseError) as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        CACHE_ERRORS.labels("redis").inc()
        logger.debug("a call to Redis failed: %s", type(error.__cause__ or error).__name__)


def _name(level: LevelName, key: str) -> str:
    return f"{NAMESPACE}:{level}:{key}"


def _checksum(name: str, payload: bytes) -> bytes:
    """Binds a payload to its name: a torn, changed or moved entry is no entry."""
    return blake2b(name.encode() + b"\0" + payload, digest_size=CHECKSUM_BYTES).digest()


def _checked(name: str, entry: object) -> bytes | None:
    if not isinstance(entry, bytes) or len(entry) < CHECKSUM_BYTES:
        return None
    payload = entry[CHECKSUM_BYTES:]
    if entry[:CHECKSUM_BYTES] == _checksum(name, payload):
        return payload
    CACHE_ERRORS.labels("redis").inc()
    return None
