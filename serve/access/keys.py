"""The keys file: the tenant of each API key. It holds digests, so that a reader of the file learns no key.

acme:
  - 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08   # printf %s "$KEY" | sha256sum
globex: [60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752]
"""

import logging
import re
from pathlib import Path
from typing import Any

from models.corpus.api_keys import digest_of
from models.errors.configuration import ConfigError
from models.strict_yaml import read_strictly
from serve.access.caller import Caller

logger = logging.getLogger(__name__)

TENANT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
DIGEST = re.compile(r"[0-9a-f]{64}")
# Modification time alone may miss two writes within one tick of the clock.
_Version = tuple[int, int, int]


class KeyRing:
    """Finds the tenant of a credential. Reads a changed file again, so new and revoked keys take effect at once."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError for a missing or invalid file."""
        self._path = path
        self._version = _version(path)
        self._tenants = read_keys(path)
        self._problem = ""  # that was logged last

    async def find(self, credential: str) -> Caller | None:
        """The caller with all rights in the key's tenant, or None for an unknown key."""
        self._refresh()
        # The lookup's time depends on the digest alone, and a caller cannot choose a digest.
        digest = digest_of(credential)
        tenant = self._tenants.get(digest)
        return None if tenant is None else Caller(tenant, actor=f"file:{digest[:8]}")

    def _refresh(self) -> None:
        """Reads a changed file. An invalid file changes nothing: a half-finished edit must not lock all callers out."""
        try:
            version = _version(self._path)
            if version != self._version:
                self._version = version
                self._tenants = read_keys(self._path)
            self._problem = ""
        except ConfigError as error:
            if str(error) != self._problem:  # every request meets it
                logger.error("the keys file is invalid, so the previous keys stay valid: %s", error)
            self._problem = str(error)


def read_keys(path: Path) -> dict[str, str]:
    """The tenant of each key's digest. Raises ConfigError."""
    try:
        raw = read_strictly(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), f"the keys cannot be read: {getattr(error, 'strerror', error)}") from None
    if not isinstance(raw, dict) or not raw:
        raise ConfigError(str(path), "it must map each tenant to a list of its keys' SHA-256 digests")
    tenants: dict[str, str] = {}
    for tenant, digests in raw.items():
        for digest in _valid_digests(tenant, digests, str(path)):
            if tenants.setdefault(digest, tenant) != tenant:
                raise ConfigError(
                    str(path), f"the tenants {tenants[digest]!r} and {tenant!r} have the same key; give each its own"
                )
    return tenants


def _valid_digests(tenant: Any, digests: Any, where: str) -> list[str]:
    if not isinstance(tenant, str) or not TENANT.fullmatch(tenant):
        raise ConfigError(where, f"tenant {tenant!r} must be 1 to 64 letters, digits, '.', '_' or '-'")
    if not isinstance(digests, list):
        raise ConfigError(where, f"the keys of tenant {tenant!r} must be a list")
    for digest in digests:
        # Never print it: it may be a key in the place of its digest.
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            raise ConfigError(where, f"a key of tenant {tenant!r} is not a SHA-256 digest of 64 lower-case hex digits")
    return digests


def _version(path: Path) -> _Version:
    try:
        stat = path.stat()
    except OSError as error:
        raise ConfigError(str(path), f"the keys cannot be read: {error.strerror}") from None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
