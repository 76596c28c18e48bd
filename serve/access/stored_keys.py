"""The API keys of the database. A key is read again after KEEP_S, so a revoked one is refused within that time."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from models.corpus.api_keys import ApiKey, ApiKeys, digest_of
from models.errors.access import UnauthorizedError
from serve.access.caller import Caller

KEEP_S = 2.0
MAX_KEPT = 4096


class StoredKeys:
    """Looks keys up, and keeps what it read for a moment: a lookup costs 0.2 ms."""

    def __init__(self, keys: ApiKeys, clock: Callable[[], float] = monotonic) -> None:
        self._keys, self._clock = keys, clock
        self._read: OrderedDict[str, tuple[float, ApiKey | None]] = OrderedDict()

    async def find(self, credential: str) -> Caller | None:
        """The caller, or None for an unknown key. Raises UnauthorizedError for one that is revoked or expired."""
        key = await self._key(digest_of(credential))
        if key is None:
            return None
        if not key.is_valid(self._keys.clock()):
            how = "was revoked" if key.revoked_at is not None else "has expired"
            raise UnauthorizedError(f"the API key {how}; ask the operator for a new one", key.key_id, key.tenant)
        stores = None if key.vector_store_ids is None else frozenset(key.vector_store_ids)
        return Caller(key.tenant, key.role, stores, key.key_id, key.limits)

    async def _key(self, digest: str) -> ApiKey | None:
        now = self._clock()
        read = self._read.get(digest)
        if read is not None and now - read[0] < KEEP_S:
            return read[1]
        key = await asyncio.to_thread(self._keys.find, digest)
        self._read[digest] = (now, key)
        self._read.move_to_end(digest)
        if len(self._read) > MAX_KEPT:
            self._read.popitem(last=False)
        return key
