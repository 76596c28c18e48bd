"""A Redis server that may be slow, stopped or gone: one call learns it, and the next ones are not sent."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import redis.asyncio
from pydantic import SecretStr
from redis.exceptions import MaxConnectionsError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from deployments.telemetry.metrics.stages import breaker_counter
from models.breaker import Breaker, BreakerConfig

T = TypeVar("T")
logger = logging.getLogger(__name__)

TIMEOUT_S = 0.05  # of one call; a question takes longer without any cache
MAX_CONNECTIONS = 64  # as many as the questions of one ingress replica (admission.max_questions)
LATE = 1.5
BREAKER = BreakerConfig(failures=1, open_s=1.0)


class RedisUnavailableError(Exception):
    """The call was not answered, or not sent. The message has the class of the error, and never the URL."""


class RedisServer:
    """Calls of one process, with a breaker.

    Closed: calls are sent. The first one that fails or is late opens it. Open: none is sent, and each second a PING
    beside the callers asks whether the server is back. Belongs to one event loop.
    """

    def __init__(self, url: SecretStr, timeout_s: float = TIMEOUT_S) -> None:
        """`url` may hold a password. `timeout_s`: of one call."""
        self.client = redis.asyncio.from_url(
            url.get_secret_value(),
            max_connections=MAX_CONNECTIONS,
            socket_timeout=None,  # `_send` has a timeout for the whole call; the client's own would cost a task each
            socket_connect_timeout=timeout_s,
            retry=None,
            retry_on_error=[],
        )
        self.breaker = Breaker(BREAKER, on_change=breaker_counter("redis"))
        self._timeout_s = timeout_s
        self._probe: asyncio.Task[None] | None = None  # owned here until it ends
        self._is_closed = False

    async def call(self, send: Callable[[], Awaitable[T]]) -> T:
        """The result of `send`, which uses `client`.

        Raises RedisUnavailableError, at once while the breaker is open, and ResponseError for a refusal.
        """
        if self._is_closed:
            raise RedisUnavailableError("it is no longer used")
        if self.breaker.is_open:
            self._ask()
            raise RedisUnavailableError("the breaker is open")
        return await self._send(send)

    async def close(self) -> None:
        """End the connections. Calls under way and later ones raise RedisUnavailableError."""
        self._is_closed = True
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        self.breaker.succeed()  # nobody counts it any more
        await self.client.aclose()

    async def _send(self, send: Callable[[], Awaitable[T]]) -> T:
        start = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                result = await send()
        except ResponseError:  # full, or read-only: it answers
            self.breaker.succeed()
            raise
        except MaxConnectionsError as error:  # this process' own crowd
            raise RedisUnavailableError(type(error).__name__) from error
        except (RedisError, OSError, ValueError) as error:  # TimeoutError is an OSError
            is_late = isinstance(error, TimeoutError | RedisTimeoutError)
            # Far beyond its time, it is this process that was busy: that says nothing about Redis.
            if not is_late or time.monotonic() - start < LATE * self._timeout_s:
                self._failed(error)
            raise RedisUnavailableError(type(error).__name__) from error
        self.breaker.succeed()
        return result

    def _failed(self, error: Exception) -> None:
        if self._is_closed:
            return
        if not self.breaker.is_open:
            logger.warning("Redis does not answer, so it is left alone for now: %s", type(error).__name__)
        self.breaker.fail()

    def _ask(self) -> None:
        """Ask beside the callers whether the server is back."""
        if self._probe is None and self.breaker.allows():
            self._probe = asyncio.get_running_loop().create_task(self._ping())

    async def _ping(self) -> None:
        try:
            await self._send(self.client.ping)
            logger.warning("Redis answers again")
        except (RedisUnavailableError, ResponseError):
            pass  # the breaker knows
        finally:
            self._probe = None
