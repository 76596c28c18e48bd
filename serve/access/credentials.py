"""Finds the caller of a credential: in a keys file, in the database, or of an OIDC issuer."""

from collections.abc import Sequence
from typing import Protocol

from models.errors.access import UnauthorizedError
from serve.access.caller import Caller

MAX_CREDENTIAL_CHARS = 16_384  # a JWT with many groups


class CredentialSource(Protocol):
    """One kind of credentials."""

    async def find(self, credential: str) -> Caller | None:
        """The caller, or None for a credential of another source. Raises UnauthorizedError for an invalid one."""


class Access:
    """Finds the caller of a request: asks each source in turn."""

    def __init__(self, sources: Sequence[CredentialSource]) -> None:
        self._sources = sources

    async def caller(self, authorization: str | None) -> Caller:
        """The caller of an Authorization header. Raises UnauthorizedError."""
        scheme, _, credential = (authorization or "").partition(" ")
        credential = credential.strip()
        if scheme.lower() != "bearer" or not credential:
            raise UnauthorizedError("no API key was sent; send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'")
        if len(credential) <= MAX_CREDENTIAL_CHARS:
            for source in self._sources:
                caller = await source.find(credential)
                if caller is not None:
                    return caller
        raise UnauthorizedError("the API key is unknown; check the key, or ask the operator for one")
