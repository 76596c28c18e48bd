"""Who may call, and how much: the sources of credentials and the counters that the settings choose."""

import logging

from models.corpus.corpus import Corpus
from serve.access.counters import MemoryCounters, RedisCounters
from serve.access.credentials import Access, CredentialSource
from serve.access.keys import KeyRing
from serve.access.limits import Counters
from serve.access.oidc import OidcTokens
from serve.access.stored_keys import StoredKeys
from serve.settings import ApiConfig, Settings

logger = logging.getLogger(__name__)


def open_access(api: ApiConfig, corpus: Corpus) -> Access | None:
    """Where credentials are looked up; None: nobody needs one."""
    if not api.needs_keys:
        logger.warning("access control is off: every caller has all rights; set api.access to keys")
        return None
    sources: list[CredentialSource] = [KeyRing(api.keys_file)] if api.keys_file else []
    sources += [OidcTokens(api.oidc)] if api.oidc else []
    return Access([*sources, StoredKeys(corpus.api_keys)])


def open_counters(settings: Settings) -> Counters:
    """Of this process; in Redis if `limits.shared` says so, for all ingress replicas."""
    if settings.limits.shared and settings.cache.redis_url is not None:
        return RedisCounters(settings.cache.redis_url, settings.cache.redis_timeout_s)
    return MemoryCounters()
