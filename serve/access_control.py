"""Who may call, and how much: the sources of credentials and the counters that the settings choose."""

import logging
from collections.abc import Sequence

from pydantic import SecretStr

from models.breaker import Breaker
from models.corpus.corpus import Corpus
from serve.access.counters import MemoryCounters, RedisCounters
from serve.access.credentials import Access, CredentialSource
from serve.access.keys import KeyRing
from serve.access.limits import Cost, Quota, Standing
from serve.access.oidc import OidcTokens
from serve.access.stored_keys import StoredKeys
from serve.pipelines.retired import RetiredConnections
from serve.settings import ApiConfig, Settings

logger = logging.getLogger(__name__)

RedisPlace = tuple[SecretStr, float]


def open_access(api: ApiConfig, corpus: Corpus) -> Access | None:
    """Where credentials are looked up; None: nobody needs one."""
    if not api.needs_keys:
        logger.warning("access control is off: every caller has all rights; set api.access to keys")
        return None
    sources: list[CredentialSource] = [KeyRing(api.keys_file)] if api.keys_file else []
    sources += [OidcTokens(api.oidc)] if api.oidc else []
    return Access([*sources, StoredKeys(corpus.api_keys)])


class CurrentCounters:
    """Satisfies Counters: those of this process, or on Redis for all ingress replicas, as the settings say now.

    Belongs to one event loop. A change begins to count anew.
    """

    def __init__(self, settings: Settings) -> None:
        self._server: RedisPlace | None = None
        self._counters: MemoryCounters | RedisCounters = MemoryCounters()
        self._retired = RetiredConnections()
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Takes effect with the next request."""
        server = _server_of(settings)
        if server == self._server:
            return
        if isinstance(self._counters, RedisCounters):
            self._retired.add(self._counters)
        self._server = server
        self._counters = MemoryCounters() if server is None else RedisCounters(*server)

    @property
    def breakers(self) -> Sequence[Breaker]:
        return self._counters.breakers

    async def take(self, costs: Sequence[Cost]) -> list[Standing]:
        return await self._counters.take(costs)

    def spend(self, quota: Quota, cost: int) -> None:
        self._counters.spend(quota, cost)

    async def run(self) -> None:
        """Runs until cancelled. What was used and is not counted yet is counted when a server is left."""
        try:
            await self._retired.run()
        finally:
            await self._retired.close()
            if isinstance(self._counters, RedisCounters):
                await self._counters.close()


def _server_of(settings: Settings) -> RedisPlace | None:
    """The URL and the time of a call; None: limits are counted in this process."""
    if settings.limits.shared and settings.cache.redis_url is not None:
        return settings.cache.redis_url, settings.cache.redis_timeout_s
    return None
