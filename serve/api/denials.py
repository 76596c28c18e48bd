"""Records what callers were denied (403), and requests without a valid key (401): who, from where, and at most so many.

An attacker must neither fill the disk nor keep the database busy. So the same denial again within DENIAL_S is not
recorded, and a tenant's denials are at most MAX_AT_ONCE, and then PER_MINUTE. The next one that is recorded counts
those that were not.
"""

import asyncio
import ipaddress
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope

from models.corpus.api_keys import digest_of
from models.corpus.audit_log import AuditEvent, AuditLog
from models.errors.access import UnauthorizedError
from models.errors.base import RagError
from serve.access.caller import Caller

logger = logging.getLogger(__name__)

DENIAL_S, MAX_DENIALS = 1.0, 4096
MAX_AT_ONCE, PER_MINUTE = 60.0, 20.0
MAX_ID_CHARS = 128
DIGEST_CHARS = 8


@dataclass
class Bucket:
    """A tenant's denials that may be recorded now; they come back evenly."""

    room: float
    at_s: float
    num_unrecorded: int = 0

    def take(self, now: float) -> bool:
        self.room = min(MAX_AT_ONCE, self.room + (now - self.at_s) * PER_MINUTE / 60)
        self.at_s = now
        if self.room < 1:
            self.num_unrecorded += 1
            return False
        self.room -= 1
        return True


@dataclass
class Denials:
    """What was recorded lately. Belongs to one event loop."""

    clock: Callable[[], float] = monotonic
    _last: "OrderedDict[tuple[str, str, str], float]" = field(default_factory=OrderedDict)
    _buckets: "OrderedDict[tuple[str, int], Bucket]" = field(default_factory=OrderedDict)

    async def record_forbidden(self, log: AuditLog, caller: Caller, operation: str, scope: Scope) -> None:
        """The caller is told of the refusal even if this cannot be stored."""
        await self._record(log, caller.tenant, AuditEvent(caller.actor, operation, 403, caller.role), scope)

    async def record_unauthorized(
        self, log: AuditLog, tenant: str, operation: str, scope: Scope, error: UnauthorizedError
    ) -> None:
        """`tenant` has the events of credentials that no tenant is known for."""
        actor = error.actor or _actor(scope)
        await self._record(log, error.tenant or tenant, AuditEvent(actor, operation, 401), scope)

    async def _record(self, log: AuditLog, tenant: str, event: AuditEvent, scope: Scope) -> None:
        num_unrecorded = self._take(tenant, event)
        if num_unrecorded is None:
            return
        ids: Mapping[str, Any] = scope.get("path_params") or {}
        described = AuditEvent(
            event.actor,
            event.action,
            event.status,
            event.role,
            scope["state"].get("request_id", ""),
            {name: str(value)[:MAX_ID_CHARS] for name, value in ids.items()}
            | ({"unrecorded": str(num_unrecorded)} if num_unrecorded else {}),
            address_of(scope),
        )
        try:
            await asyncio.to_thread(log.add, tenant, described)
        except RagError as error:
            logger.warning("a denial was not recorded: %s", error)

    def _take(self, tenant: str, event: AuditEvent) -> int | None:
        """How many were not recorded since the last one; None if this one is not recorded either."""
        now, denial = self.clock(), (tenant, event.actor, f"{event.status} {event.action}")
        is_repeated = now - self._last.get(denial, float("-inf")) < DENIAL_S
        bucket = self._buckets.setdefault((tenant, event.status), Bucket(MAX_AT_ONCE, now))
        _use(self._buckets, (tenant, event.status))
        if is_repeated:
            bucket.num_unrecorded += 1
            return None
        if not bucket.take(now):
            return None
        self._last[denial] = now
        _use(self._last, denial)
        num_unrecorded, bucket.num_unrecorded = bucket.num_unrecorded, 0
        return num_unrecorded


def _use(lru: "OrderedDict[Any, Any]", key: Any) -> None:
    """Forget what was used longest ago beyond MAX_DENIALS."""
    lru.move_to_end(key)
    if len(lru) > MAX_DENIALS:
        lru.popitem(last=False)


def _actor(scope: Scope) -> str:
    """The start of the credential's digest: the same credential is known again, and no log has a part of it."""
    headers = Headers(scope=scope)
    credential = headers.get("authorization", "").partition(" ")[2].strip() or headers.get("x-api-key", "")
    return f"digest:{digest_of(credential)[:DIGEST_CHARS]}" if credential else "no credential"


def address_of(scope: Scope) -> str:
    """The address that HAProxy saw, which it adds last to x-forwarded-for; without one, that of the connection."""
    forwarded = Headers(scope=scope).getlist("x-forwarded-for")
    client = scope.get("client") or ("", 0)
    for text in (forwarded[-1].rpartition(",")[2].strip() if forwarded else "", str(client[0])):
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            continue
    return ""
