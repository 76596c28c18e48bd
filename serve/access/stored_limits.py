"""Limits of what a tenant stores: files, and their bytes."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

from models.errors.limits import StorageQuotaError
from serve.access.limits import CallerLimits, LimitsConfig

KEEP_S = 10.0  # other processes store and delete too
MAX_TENANTS = 10_000
MAX_READS = 5  # in a row, while uploads complete


@dataclass
class Usage:
    """What a tenant stores: as it was read at `read_at` (the clock of StoredLimits), and what is being stored."""

    num_files: int
    num_bytes: int
    read_at: float
    pending_files: int = 0
    pending_bytes: int = 0
    num_stored: int = 0  # uploads that this process has completed
    num_reads: int = 0  # that have begun, one after the other
    last_read: int = 0  # the number of the last one that succeeded
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class StoredLimits:
    """Keeps tenants within what they may store. Belongs to one event loop.

    The database is read at most every KEEP_S for a tenant, and again before a refusal. So a tenant is never refused
    for what it has deleted, and goes beyond its limit by what other replicas stored meanwhile at most.
    """

    def __init__(
        self,
        config: Callable[[], LimitsConfig],
        read: Callable[[str], tuple[int, int]],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`read` returns a tenant's files and their bytes, and blocks."""
        self._config, self._read_usage, self._clock = config, read, clock
        self._usages: dict[str, Usage] = {}

    @asynccontextmanager
    async def storing(self, tenant: str, num_files: int, num_bytes: int) -> AsyncIterator[None]:
        """Hold room while so much more is stored. Raises StorageQuotaError."""
        limits = self._config().of_tenant(tenant)
        if limits.stored_files is None and limits.stored_bytes is None:
            yield
            return
        usage = self._usages.get(tenant)
        if usage is None or self._clock() - usage.read_at > KEEP_S or _excess(limits, usage, num_files, num_bytes):
            usage = await self._read(tenant)
        if excess := _excess(limits, usage, num_files, num_bytes):
            raise StorageQuotaError(*excess, tenant)
        usage.pending_files += num_files
        usage.pending_bytes += num_bytes
        try:
            yield
            usage.num_files += num_files
            usage.num_bytes += num_bytes
            usage.num_stored += 1
        finally:
            usage.pending_files -= num_files
            usage.pending_bytes -= num_bytes

    async def _read(self, tenant: str) -> Usage:
        """What is stored now. Uploads at once share a read that began after all of them: it counts a tenant's files."""
        usage = self._usages.get(tenant) or self._add(tenant)
        num_before = usage.num_reads
        async with usage.reading:
            if usage.last_read <= num_before:
                usage.num_reads += 1
                await self._read_anew(tenant, usage)
                usage.last_read = usage.num_reads
        return usage

    async def _read_anew(self, tenant: str, usage: Usage) -> None:
        for _ in range(MAX_READS):
            num_before = usage.num_stored
            num_files, num_bytes = await asyncio.to_thread(self._read_usage, tenant)
            if usage.num_stored == num_before:  # else it may lack what was stored meanwhile
                break
        usage.num_files, usage.num_bytes, usage.read_at = num_files, num_bytes, self._clock()

    def _add(self, tenant: str) -> Usage:
        if len(self._usages) >= MAX_TENANTS:
            self._usages = {
                name: each for name, each in self._usages.items() if each.pending_files or each.pending_bytes
            }
        usage = self._usages[tenant] = Usage(0, 0, -math.inf)
        return usage


def _excess(limits: CallerLimits, usage: Usage, num_files: int, num_bytes: int) -> tuple[str, int] | None:
    """The limit that would be exceeded. What takes no further room is always allowed."""
    files, num_stored = usage.num_files + usage.pending_files, usage.num_bytes + usage.pending_bytes
    if limits.stored_files is not None and num_files > 0 and files + num_files > limits.stored_files:
        return "stored files", limits.stored_files
    if limits.stored_bytes is not None and num_bytes > 0 and num_stored + num_bytes > limits.stored_bytes:
        return "stored bytes", limits.stored_bytes
    return None
