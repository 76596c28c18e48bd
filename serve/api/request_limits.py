"""The limits of requests that are no questions, and of uploads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serve.access.caller import Caller
from serve.access.limits import RequestLimits, rate_headers
from serve.access.stored_limits import StoredLimits

UPLOADS = frozenset(["POST /v1/files", "PUT /v1/files/{file_id}/content"])


@asynccontextmanager
async def within_limits(limits: RequestLimits | None, caller: Caller, operation: str) -> AsyncIterator[dict[str, str]]:
    """Count a request, and hold its place while the block runs. Yields headers. Raises RateLimitedError."""
    if limits is None:
        yield {}
        return
    standing = await limits.count_other(caller)
    if operation in UPLOADS:  # before the body is read
        await limits.count_upload(caller, 0)
    with limits.holding_other(caller):
        yield {} if standing is None else rate_headers(standing.limit, standing.remaining, standing.reset_s)


@asynccontextmanager
async def storing(
    limits: RequestLimits | None, stored: StoredLimits | None, caller: Caller, new_bytes: int, replaced_bytes: int = -1
) -> AsyncIterator[None]:
    """Count an upload of `new_bytes`, and hold room for it while the block stores it.

    `replaced_bytes` are those of the version before; -1: it is a new file. Raises RateLimitedError,
    PayloadTooLargeError, StorageQuotaError.
    """
    if limits is None or stored is None:
        yield
        return
    is_new = replaced_bytes < 0
    async with stored.storing(caller.tenant, int(is_new), new_bytes - max(0, replaced_bytes)):
        await limits.count_upload(caller, new_bytes)
        yield
