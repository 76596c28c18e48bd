"""Limits of each tenant and key: requests a minute, requests at once, tokens a day."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from models.errors import RateLimitedError
from serve.access.caller import Caller

REQUESTS = "requests a minute"
MINUTE_S, DAY_S = 60.0, 24 * 3600.0


class CallerLimits(BaseModel):
    """The limits of one tenant, or of one key. None: no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_minute: int | None = Field(default=None, ge=1, le=1_000_000, description="Questions a minute.")
    concurrency: int | None = Field(
        default=None, ge=1, le=4096, description="Questions at once, in one ingress replica."
    )
    tokens_per_day: int | None = Field(
        default=None, ge=1, le=10**12, description="Tokens that models read and write; of tenants alone."
    )


class LimitsConfig(BaseModel):
    """Limits beside the one of the service (`admission`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    each_tenant: CallerLimits = Field(default=CallerLimits(), description="Limits of a tenant that is not in tenants.")
    tenants: dict[str, CallerLimits] = Field(
        default_factory=dict, max_length=10_000, description="Limits of one tenant, in place of each_tenant."
    )
    each_key: CallerLimits = Field(default=CallerLimits(), description="Limits of a key that has none of its own.")
    shared: bool = Field(
        default=False, description="Count on cache.redis_url, for all ingress replicas together. False: each its own."
    )

    def of_tenant(self, tenant: str) -> CallerLimits:
        return self.tenants.get(tenant, self.each_tenant)

    def of_key(self, caller: Caller) -> CallerLimits:
        return CallerLimits(**caller.limits) if caller.limits else self.each_key


@dataclass(frozen=True)
class Quota:
    """`limit` units in `period_s` seconds, which come back evenly. `name` is its counter's."""

    name: str
    limit: int
    period_s: float


@dataclass(frozen=True)
class Standing:
    """A quota after a request. `retry_after_s` is 0 if the request was within it."""

    limit: int
    remaining: int
    reset_s: float
    retry_after_s: float = 0.0


class Counters(Protocol):
    async def take(self, quota: Quota, cost: int) -> Standing:
        """Count `cost` units, or nothing if the quota has not as many left; 0 units always fit into what is left."""

    def spend(self, quota: Quota, cost: int) -> None:
        """Count units that are used already, beyond the limit too."""


class RequestLimits:
    """Counts the requests of tenants and keys. Belongs to one event loop."""

    def __init__(self, config: Callable[[], LimitsConfig], counters: Counters) -> None:
        """`config` returns the present limits."""
        self._config, self._counters = config, counters
        self._under_way: Counter[str] = Counter()

    async def count(self, caller: Caller) -> Standing | None:
        """Count a request. Return the quota with the fewest requests left; None without a limit.

        Raises RateLimitedError.
        """
        config = self._config()
        tenant, key = config.of_tenant(caller.tenant), config.of_key(caller)
        if tenant.tokens_per_day is not None:
            standing = await self._counters.take(_tokens(caller.tenant, tenant.tokens_per_day), 0)
            _check(standing, "tokens a day", f"tenant {caller.tenant}")
        standings = []
        for name, limits in ((f"key:{caller.actor}", key), (f"tenant:{caller.tenant}", tenant)):
            if limits.requests_per_minute is not None:
                quota = Quota(f"requests:{name}", limits.requests_per_minute, MINUTE_S)
                standing = await self._counters.take(quota, 1)
                _check(standing, REQUESTS, name.replace(":", " ", 1))
                standings.append(standing)
        return min(standings, key=lambda standing: standing.remaining, default=None)

    @contextmanager
    def holding(self, caller: Caller) -> Iterator[None]:
        """Hold a place among the requests at once. Raises RateLimitedError."""
        config = self._config()
        places = []
        for name, limits in (
            (f"tenant {caller.tenant}", config.of_tenant(caller.tenant)),
            (f"key {caller.actor}", config.of_key(caller)),
        ):
            if limits.concurrency is not None:
                if self._under_way[name] >= limits.concurrency:
                    raise RateLimitedError("requests at once", limits.concurrency, name, 1.0)
                places.append(name)
        self._under_way.update(places)
        try:
            yield
        finally:
            self._under_way.subtract(places)
            for name in places:
                if not self._under_way[name]:
                    del self._under_way[name]

    def used(self, tenant: str, num_tokens: int) -> None:
        """Count tokens of the tenant's day."""
        limit = self._config().of_tenant(tenant).tokens_per_day
        if limit is not None:
            self._counters.spend(_tokens(tenant, limit), num_tokens)


def _tokens(tenant: str, limit: int) -> Quota:
    return Quota(f"tokens:tenant:{tenant}", limit, DAY_S)


def _check(standing: Standing, what: str, whose: str) -> None:
    if standing.retry_after_s > 0:
        reset_s = standing.reset_s if what == REQUESTS else 0.0  # the headers are about requests
        raise RateLimitedError(what, standing.limit, whose, standing.retry_after_s, reset_s)


def rate_headers(limit: int, remaining: int, reset_s: float) -> dict[str, str]:
    """OpenAI's headers."""
    return {
        "x-ratelimit-limit-requests": str(limit),
        "x-ratelimit-remaining-requests": str(remaining),
        "x-ratelimit-reset-requests": _duration(reset_s),
    }


def _duration(seconds: float) -> str:
    """As OpenAI writes it: 120ms, 8.64s, 6m0s."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    if seconds < MINUTE_S:
        return f"{seconds:.4g}s"
    minutes, rest_s = divmod(round(seconds), 60)
    return f"{minutes}m{rest_s}s"
