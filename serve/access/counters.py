"""Counters of quotas: in this process, or on Redis for all ingress replicas.

The generic cell rate algorithm keeps one number for a quota: the time at which it would be full again. A unit moves
this time ahead by period / limit, and may do so as long as it stays within one period from now.
"""

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from time import time

from pydantic import SecretStr
from redis.exceptions import ResponseError

from models.breaker import Breaker
from serve.access.limits import Quota, Standing
from serve.redis_server import TIMEOUT_S, RedisServer, RedisUnavailableError

logger = logging.getLogger(__name__)

MAX_COUNTERS = 100_000
NAMESPACE = "ragserve:limit:1"
# Times are seconds of Redis' own clock. Returns the time at which the quota is full, now, and whether it was counted.
SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local after = full_at + tonumber(ARGV[1])
if ARGV[3] == '0' and after - now > tonumber(ARGV[2]) + 0.000001 then
  return {tostring(full_at), tostring(now), 0}
end
if after > now then
  redis.call('SET', KEYS[1], string.format('%.6f', after), 'PX', math.ceil((after - now) * 1000) + 1000)
else
  redis.call('DEL', KEYS[1])
end
return {tostring(after), tostring(now), 1}
"""


class MemoryCounters:
    """Counts in this process. The quotas that were used longest ago are forgotten."""

    breakers: Sequence[Breaker] = ()

    def __init__(self, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    async def take(self, quota: Quota, cost: int) -> Standing:
        now, interval_s = self._clock(), quota.period_s / quota.limit
        full_at = max(self._full_at.get(quota.name, 0.0), now)
        after = full_at + max(cost * interval_s, 0.0)
        # Of 0 units: whether one more would fit.
        if after + (0 if cost else interval_s) - now > quota.period_s + 1e-6:
            return _standing(quota, full_at, now, is_counted=False)
        self._set(quota.name, after)
        return _standing(quota, after, now, is_counted=True)

    def spend(self, quota: Quota, cost: int) -> None:
        now = self._clock()
        full_at = max(self._full_at.get(quota.name, 0.0), now)
        self._set(quota.name, full_at + cost * quota.period_s / quota.limit)

    def _set(self, name: str, full_at: float) -> None:
        self._full_at[name] = full_at
        self._full_at.move_to_end(name)
        if len(self._full_at) > MAX_COUNTERS:
            self._full_at.popitem(last=False)


class RedisCounters:
    """Counts on Redis. While Redis does not answer, each process counts alone: a limit never fails a request."""

    def __init__(self, url: SecretStr, timeout_s: float = TIMEOUT_S, clock: Callable[[], float] = time) -> None:
        self._server = RedisServer(url, timeout_s)
        self._script = self._server.client.register_script(SCRIPT)
        self._alone = MemoryCounters(clock)
        self._writes: set[asyncio.Task[Standing]] = set()  # owned here until they end

    @property
    def breakers(self) -> Sequence[Breaker]:
        return (self._server.breaker,)

    async def take(self, quota: Quota, cost: int) -> Standing:
        return await self._count(quota, cost, is_used=False)

    def spend(self, quota: Quota, cost: int) -> None:
        task = asyncio.create_task(self._count(quota, cost, is_used=True))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def close(self) -> None:
        await asyncio.gather(*self._writes, return_exceptions=True)
        await self._server.close()

    async def _count(self, quota: Quota, cost: int, is_used: bool) -> Standing:
        try:
            return await self._server.call(lambda: self._run(quota, cost, is_used))
        except (RedisUnavailableError, ResponseError) as error:
            logger.debug("this replica counts a limit alone: %s", error)
        if is_used:
            self._alone.spend(quota, cost)
        return await self._alone.take(quota, 0 if is_used else cost)

    async def _run(self, quota: Quota, cost: int, is_used: bool) -> Standing:
        interval_s = quota.period_s / quota.limit
        name = f"{NAMESPACE}:{blake2b(quota.name.encode(), digest_size=16).hexdigest()}"
        # Of 0 units: whether one more would fit.
        period_s = quota.period_s if cost else quota.period_s - interval_s
        full_at, now, is_counted = await self._script(
            keys=[name], args=[cost * interval_s, period_s, "1" if is_used else "0"]
        )
        return _standing(quota, float(full_at), float(now), bool(is_counted))


def _standing(quota: Quota, full_at: float, now: float, is_counted: bool) -> Standing:
    interval_s, reset_s = quota.period_s / quota.limit, max(0.0, full_at - now)
    remaining = max(0, math.floor((quota.period_s - reset_s) / interval_s + 1e-6))
    retry_after_s = 0.0 if is_counted else max(reset_s + interval_s - quota.period_s, 1e-3)
    return Standing(quota.limit, remaining if is_counted else 0, reset_s, retry_after_s)
