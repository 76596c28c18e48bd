"""Limits of each tenant and key: requests a minute and at once, tokens, files and bytes a day."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.breaker import Breaker
from models.errors.limits import RateLimitedError
from models.errors.requests import PayloadTooLargeError
from serve.access.caller import Caller

REQUESTS = "requests a minute"
UPLOADS, UPLOAD_BYTES = "uploads a day", "uploaded bytes a day"
OF_TENANTS = frozenset(["tokens_per_day", "stored_files", "stored_bytes"])
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
    other_requests_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Requests a minute that are no questions: of files, stores, conversations, feedback and lists.",
    )
    other_concurrency: int | None = Field(
        default=None, ge=1, le=4096, description="Requests at once that are no questions, in one ingress replica."
    )
    uploads_per_day: int | None = Field(default=None, ge=1, le=10**9, description="Uploaded files and versions a day.")
    upload_bytes_per_day: int | None = Field(default=None, ge=1, le=10**15, description="Bytes of these.")
    stored_files: int | None = Field(
        default=None, ge=1, le=10**9, description="Files that are stored; of tenants alone."
    )
    stored_bytes: int | None = Field(default=None, ge=1, le=10**15, description="Bytes of these; of tenants alone.")


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

    @model_validator(mode="after")
    def _check_each_key(self) -> Self:
        if of_tenants := OF_TENANTS & self.each_key.model_fields_set:
            raise ValueError(f"each_key has {sorted(of_tenants)[0]}, which is of tenants alone; set it in each_tenant")
        return self

    def of_tenant(self, tenant: str) -> CallerLimits:
        return self.tenants.get(tenant, self.each_tenant)

    def of_key(self, caller: Caller) -> CallerLimits:
        # They were checked when the key was made. The bounds of then may have been others.
        return CallerLimits.model_construct(**caller.limits) if caller.limits else self.each_key  # type: ignore[arg-type]


@dataclass(frozen=True)
class Quota:
    """`limit` units in `period_s` seconds, which come back evenly. Quotas of one `name` share a counter."""

    name: str
    limit: int
    period_s: float


@dataclass(frozen=True)
class Standing:
    """A quota after a request: the units left, and the seconds until all are back.

    `retry_after_s` is 0 if the request was within it; else the seconds until it would be.
    """

    limit: int
    remaining: int
    reset_s: float
    retry_after_s: float = 0.0


Cost = tuple[Quota, int]  # a quota, and units of it


class UploadCost(NamedTuple):
    """Units of a quota that an upload takes. `what` is limited, such as uploads a day; `whose` limit it is."""

    what: str
    whose: str
    quota: Quota
    units: int


class Counters(Protocol):
    """Counts the units of quotas, in this process or for all ingress replicas."""

    @property
    def breakers(self) -> Sequence[Breaker]:
        """Of the server that counts; none if this process does."""

    async def take(self, costs: Sequence[Cost]) -> list[Standing]:
        """Count the units of all quotas, or nothing if one has not as many left. 0 units ask whether one would fit."""

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
        rates = (key.requests_per_minute, tenant.requests_per_minute)
        return await self._count_requests(caller, "requests", rates, tenant.tokens_per_day)

    async def count_other(self, caller: Caller) -> Standing | None:
        """As `count`, of a request that is no question."""
        config = self._config()
        limits = (config.of_key(caller), config.of_tenant(caller.tenant))
        rates = (limits[0].other_requests_per_minute, limits[1].other_requests_per_minute)
        return await self._count_requests(caller, "other", rates)

    async def _count_requests(
        self, caller: Caller, kind: str, rates: tuple[int | None, int | None], tokens_per_day: int | None = None
    ) -> Standing | None:
        """`rates` are those of the key and of the tenant. A refused request counts nowhere."""
        whose = (f"key:{caller.actor}", f"tenant:{caller.tenant}")
        named = [(name, rate) for name, rate in zip(whose, rates, strict=True) if rate is not None]
        costs = [(Quota(f"{kind}:{name}", rate, MINUTE_S), 1) for name, rate in named]
        if tokens_per_day is not None:
            costs.append((_tokens(caller.tenant, tokens_per_day), 0))
        if not costs:
            return None
        standings = await self._counters.take(costs)
        if tokens_per_day is not None:
            _check(standings.pop(), "tokens a day", f"tenant {caller.tenant}")
        for (name, _), standing in zip(named, standings, strict=True):
            _check(standing, REQUESTS, name.replace(":", " ", 1))
        return min(standings, key=lambda standing: standing.remaining, default=None)

    async def count_upload(self, caller: Caller, num_bytes: int) -> None:
        """Count a file and its bytes; 0 bytes: only ask whether more would fit, before the body is read.

        Raises RateLimitedError, and PayloadTooLargeError for a file that is larger than the limit of a day.
        """
        costs = list(self._upload_costs(caller, num_bytes))
        for what, whose, quota, units in costs:
            if units > quota.limit:
                raise PayloadTooLargeError(f"the {whose} may have {quota.limit} {what}; the file is larger", "file")
        standings = await self._counters.take([(cost.quota, cost.units) for cost in costs]) if costs else []
        for cost, standing in zip(costs, standings, strict=True):
            _check(standing, cost.what, cost.whose)

    def _upload_costs(self, caller: Caller, num_bytes: int) -> Iterator[UploadCost]:
        """What an upload costs of each limit of the key and of the tenant; 0 units of all for 0 bytes."""
        config = self._config()
        of_key, of_tenant = config.of_key(caller), config.of_tenant(caller.tenant)
        for kind, name, limits in (("key", caller.actor, of_key), ("tenant", caller.tenant, of_tenant)):
            costs = ((UPLOAD_BYTES, limits.upload_bytes_per_day, num_bytes), (UPLOADS, limits.uploads_per_day, 1))
            for what, limit, units in costs:
                if limit is not None:
                    quota = Quota(f"{what}:{kind}:{name}", limit, DAY_S)
                    yield UploadCost(what, f"{kind} {name}", quota, units if num_bytes else 0)

    def holding(self, caller: Caller) -> AbstractContextManager[None]:
        """Hold a place among the questions at once. Raises RateLimitedError."""
        config = self._config()
        limits = (config.of_tenant(caller.tenant).concurrency, config.of_key(caller).concurrency)
        return self._holding(caller, "", limits)

    def holding_other(self, caller: Caller) -> AbstractContextManager[None]:
        """As `holding`, among the requests that are no questions."""
        config = self._config()
        limits = (config.of_tenant(caller.tenant).other_concurrency, config.of_key(caller).other_concurrency)
        return self._holding(caller, "other ", limits)

    @contextmanager
    def _holding(self, caller: Caller, kind: str, limits: tuple[int | None, int | None]) -> Iterator[None]:
        places = []
        for name, limit in zip((f"tenant {caller.tenant}", f"key {caller.actor}"), limits, strict=True):
            if limit is not None:
                if self._under_way[kind + name] >= limit:
                    raise RateLimitedError("requests at once", limit, name, 1.0)
                places.append(kind + name)
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
