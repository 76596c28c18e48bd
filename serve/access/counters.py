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
from time import monotonic
from typing import NamedTuple

from pydantic import SecretStr
from redis.exceptions import ResponseError

from models.breaker import Breaker
from serve.access.limits import Cost, Quota, Standing
from serve.redis_server import TIMEOUT_S, RedisServer, RedisUnavailableError

logger = logging.getLogger(__name__)

MAX_COUNTERS = 100_000
NAMESPACE = "ragserve:limit:2"
SPEND_S = 0.1  # used units that no request of their quota takes along are counted this much later at most
# Counts what was used of each quota already. Then counts all costs, or none if a quota has not as many units left.
# Times are seconds of Redis' own clock. A counter has the time at which its quota is full, and that of its writing: if
# the clock went back since, both are ahead by as much. Returns now, and of each quota the time at which it is full, and
# whether it had room.
SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local answer, befores, afters, have_room = {tostring(now)}, {}, {}, true
for i, key in ipairs(KEYS) do
  local used, cost, room = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local full_at, written_at = string.match(redis.call('GET', key) or '', '^(%S+) (%S+)$')
  full_at, written_at = tonumber(full_at or 0), tonumber(written_at or 0)
  befores[i] = math.max(full_at - math.max(written_at - now, 0), now) + used
  afters[i] = befores[i] + cost
  answer[2 * i + 1] = 1
  if afters[i] - now > room + 0.000001 then
    answer[2 * i + 1], have_room = 0, false
  end
end
for i, key in ipairs(KEYS) do
  local full_at = have_room and afters[i] or befores[i]
  if full_at > now then
    local value = string.format('%.6f %.6f', full_at, now)
    redis.call('SET', key, value, 'PX', math.ceil((full_at - now) * 1000) + 1000)
  end
  answer[2 * i] = tostring(full_at)
end
return answer
"""


class Charge(NamedTuple):
    """What is counted of a quota, as the time in which it comes back. `room_s` is the most time that may be used."""

    name: str
    used_s: float = 0.0  # counted in any case
    cost_s: float = 0.0  # counted if there is room
    room_s: float = 0.0


class MemoryCounters:
    """Counts in this process. The quotas that were used longest ago are forgotten."""

    breakers: Sequence[Breaker] = ()

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    async def take(self, costs: Sequence[Cost]) -> list[Standing]:
        """As Counters."""
        now = self._clock()
        full_ats = [max(self._full_at.get(quota.name, 0.0), now) for quota, _ in costs]
        rooms = [
            full_at + _needed_s(quota, cost) - now <= quota.period_s + 1e-6
            for (quota, cost), full_at in zip(costs, full_ats, strict=True)
        ]
        if all(rooms):
            full_ats = [
                full_at + cost * _interval_s(quota) for (quota, cost), full_at in zip(costs, full_ats, strict=True)
            ]
            for (quota, _), full_at in zip(costs, full_ats, strict=True):
                self._set(quota.name, full_at)
        return [
            _standing(cost, full_at, now, has_room)
            for cost, full_at, has_room in zip(costs, full_ats, rooms, strict=True)
        ]

    def spend(self, quota: Quota, cost: int) -> None:
        """As Counters."""
        self.add(quota.name, cost * _interval_s(quota))

    def add(self, name: str, used_s: float) -> None:
        """Move the time at which a quota is full ahead."""
        self._set(name, max(self._full_at.get(name, 0.0), self._clock()) + used_s)

    def _set(self, name: str, full_at: float) -> None:
        self._full_at[name] = full_at
        self._full_at.move_to_end(name)
        if len(self._full_at) > MAX_COUNTERS:
            self._full_at.popitem(last=False)


class RedisCounters:
    """Counts on Redis. While Redis does not answer, each process counts alone: a limit never fails a request."""

    def __init__(self, url: SecretStr, timeout_s: float = TIMEOUT_S, clock: Callable[[], float] = monotonic) -> None:
        self._server = RedisServer(url, timeout_s)
        self._script = self._server.client.register_script(SCRIPT)
        self._alone = MemoryCounters(clock)
        self._used_s: dict[str, float] = {}  # by quota: the time of used units that are not yet counted
        self._timer: asyncio.TimerHandle | None = None  # the next write of these
        self._writes: set[asyncio.Task[object]] = set()  # owned here until they end

    @property
    def breakers(self) -> Sequence[Breaker]:
        return (self._server.breaker,)

    async def take(self, costs: Sequence[Cost]) -> list[Standing]:
        """As Counters, in one round trip. It takes along what was used of these quotas."""
        answer = await self._count([self._charge(quota, cost) for quota, cost in costs])
        if answer is None:
            return await self._alone.take(costs)
        now, quotas = answer
        return [
            _standing(cost, full_at, now, has_room) for cost, (full_at, has_room) in zip(costs, quotas, strict=True)
        ]

    def spend(self, quota: Quota, cost: int) -> None:
        """As Counters, within SPEND_S."""
        self._use(quota.name, cost * _interval_s(quota))

    def _use(self, name: str, used_s: float) -> None:
        # As time, which is the same under another limit: the limit may change before it is counted.
        self._used_s[name] = self._used_s.get(name, 0.0) + used_s
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SPEND_S, self._write)

    def _write(self) -> None:
        """Count what was used and no request took along."""
        self._timer = None
        if self._used_s:
            task = asyncio.get_running_loop().create_task(self._write_used())
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)

    async def _write_used(self) -> None:
        charges = [Charge(name, used_s) for name, used_s in self._used_s.items()]
        self._used_s.clear()
        if charges:
            await self._count(charges)

    async def flush(self) -> None:
        """Count what was used now."""
        if self._timer is not None:
            self._timer.cancel()
            self._write()
        await asyncio.gather(*self._writes, return_exceptions=True)

    async def close(self) -> None:
        """Count what was used, and close the connections."""
        await self.flush()
        await self._server.close()

    def _charge(self, quota: Quota, cost: int) -> Charge:
        """What a request costs, and what was used of its quota before."""
        cost_s = cost * _interval_s(quota)
        room_s = quota.period_s - (_needed_s(quota, cost) - cost_s)
        return Charge(quota.name, self._used_s.pop(quota.name, 0.0), cost_s, room_s)

    async def _count(self, charges: Sequence[Charge]) -> tuple[float, list[tuple[float, bool]]] | None:
        """Redis' time, and of each quota the time at which it is full and whether it had room.

        None if Redis does not answer. What was used is then counted by this process alone.
        """
        try:
            return await self._server.call(lambda: self._run(charges))
        except (RedisUnavailableError, ResponseError) as error:
            logger.debug("this replica counts a limit alone: %s", error)
        except asyncio.CancelledError:  # perhaps they are counted; a limit may be strict, not lax
            _add_used(self._use, charges)
            raise
        _add_used(self._alone.add, charges)
        return None

    async def _run(self, charges: Sequence[Charge]) -> tuple[float, list[tuple[float, bool]]]:
        """One round trip, whatever the number of quotas."""
        keys = [f"{NAMESPACE}:{blake2b(charge.name.encode(), digest_size=16).hexdigest()}" for charge in charges]
        arguments = [seconds for charge in charges for seconds in charge[1:]]
        now, *answers = await self._script(keys=keys, args=arguments)
        full_ats = [float(full_at) for full_at in answers[::2]]
        if not all(map(math.isfinite, full_ats)):
            raise ResponseError("a counter is no time")  # another program wrote it
        return float(now), list(zip(full_ats, map(bool, answers[1::2]), strict=True))


def _add_used(add: Callable[[str, float], None], charges: Sequence[Charge]) -> None:
    for charge in charges:
        if charge.used_s:
            add(charge.name, charge.used_s)


def _interval_s(quota: Quota) -> float:
    """The time in which a unit comes back."""
    return quota.period_s / quota.limit


def _needed_s(quota: Quota, cost: int) -> float:
    """The room that a cost needs. Of 0 units: whether one more would fit."""
    return max(cost, 1) * _interval_s(quota)


def _standing(cost: Cost, full_at: float, now: float, has_room: bool) -> Standing:
    quota, num_units = cost
    interval_s, reset_s = _interval_s(quota), max(0.0, full_at - now)
    remaining = max(0, math.floor((quota.period_s - reset_s) / interval_s + 1e-6))
    retry_after_s = 0.0 if has_room else max(reset_s + _needed_s(quota, num_units) - quota.period_s, 1e-3)
    return Standing(quota.limit, remaining if has_room else 0, reset_s, retry_after_s)
