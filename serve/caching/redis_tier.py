"""The second tier: Redis, shared by all ingress replicas and still warm after a restart. It never fails a request."""

import asyncio
import logging
from hashlib import blake2b

import redis.asyncio
from pydantic import SecretStr
from redis.exceptions import RedisError, ResponseError

from deployments.telemetry import metrics
from serve.caching.breaker import Breaker
from serve.caching.config import LevelName

logger = logging.getLogger(__name__)

# Raise the version when the meaning of an entry changes: entries of other versions are then never read.
NAMESPACE = "ragserve:cache:2"
TIMEOUT_S = 0.05  # of one call; a question takes longer without any cache
MAX_CONNECTIONS = 64  # as many as the questions of one ingress replica (admission.max_questions)
MAX_WRITES = 256  # under way; further ones are dropped
CHECKSUM_BYTES = 16


class RedisTier:
    """Entries of every level. An error, a late answer or a broken entry is a miss. Belongs to one event loop.

    The password in the URL is in no message: errors are logged by their class alone.
    """

    def __init__(self, url: SecretStr, timeout_s: float = TIMEOUT_S) -> None:
        self._redis = redis.asyncio.from_url(
            url.get_secret_value(),
            max_connections=MAX_CONNECTIONS,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=None,
            retry_on_error=[],
        )
        self._timeout_s = timeout_s
        self._breaker = Breaker()
        self._writes: set[asyncio.Task[None]] = set()  # owned here until they end

    async def get(self, level: LevelName, key: str) -> bytes | None:
        """The payload, None if there is none or Redis does not answer in time."""
        if not self._breaker.allows():
            return None
        name = _name(level, key)
        try:
            async with asyncio.timeout(self._timeout_s):
                entry = await self._redis.get(name)
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            self._failed(error)
            return None
        self._breaker.succeeded()
        return _checked(name, entry)

    def put(self, level: LevelName, key: str, payload: bytes, ttl_s: float) -> None:
        """Begin to store the payload; no request waits for that."""
        if len(self._writes) >= MAX_WRITES or not self._breaker.allows():
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
        await self._redis.aclose()

    async def _write(self, name: str, payload: bytes, ttl_s: float) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._redis.set(name, _checksum(name, payload) + payload, px=round(ttl_s * 1000))
        except ResponseError as error:  # full, or read-only: it still answers reads
            metrics.CACHE_ERRORS.labels("redis").inc()
            logger.debug("Redis refuses a write: %s", type(error).__name__)
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)
        else:
            self._breaker.succeeded()

    def _failed(self, error: Exception) -> None:
        metrics.CACHE_ERRORS.labels("redis").inc()
        self._breaker.failed()
        logger.warning("Redis does not answer, so this cache entry counts as missing: %s", type(error).__name__)


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
    metrics.CACHE_ERRORS.labels("redis").inc()
    return None
