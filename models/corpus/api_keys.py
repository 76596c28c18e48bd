"""API keys: their digests, and what each may do. The key itself is returned once, and is not stored."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from sqlalchemy import Connection, Row, insert, select, update

from models.corpus.access_schema import api_keys
from models.corpus.audit_log import AuditEvent, add_event
from models.corpus.database import Database
from models.corpus.ids import random_id
from models.errors.requests import InvalidRequestError, NotFoundError

Role = Literal["reader", "writer", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
PREFIX = "rag-"
SECRET_BYTES = 32
MAX_NAME_CHARS, MAX_STORES = 128, 64


@dataclass(frozen=True)
class ApiKey:
    """What a key may do. `vector_store_ids` None: all stores of its tenant. Times are Unix seconds."""

    key_id: str
    tenant: str
    name: str
    role: Role
    created_at: int
    vector_store_ids: tuple[str, ...] | None = None
    expires_at: int | None = None
    revoked_at: int | None = None
    limits: dict[str, int] = field(default_factory=dict)

    def is_valid(self, now: float) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def digest_of(key: str) -> str:
    """The SHA-256 digest in hex. A key has 256 random bits, so that a slow hash would protect nothing."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


@dataclass(frozen=True)
class ApiKeys:
    """Creates, finds and revokes keys."""

    database: Database
    clock: Callable[[], float]

    def create(
        self,
        tenant: str,
        name: str,
        role: Role,
        vector_store_ids: tuple[str, ...] | None = None,
        expires_at: int | None = None,
        limits: dict[str, int] | None = None,
    ) -> tuple[ApiKey, str]:
        """Store a new key, durably. Return it with the key itself, which exists nowhere else.

        Raises InvalidRequestError.
        """
        if not name or len(name) > MAX_NAME_CHARS:
            raise InvalidRequestError(f"a key's name has 1 to {MAX_NAME_CHARS} characters", "name")
        if vector_store_ids is not None and not 0 < len(vector_store_ids) <= MAX_STORES:
            raise InvalidRequestError(f"a key is limited to 1 to {MAX_STORES} vector stores", "vector_store_ids")
        now = int(self.clock())
        if expires_at is not None and expires_at <= now:
            raise InvalidRequestError("a key must expire in the future", "expires_at")
        key = ApiKey(random_id("key_"), tenant, name, role, now, vector_store_ids, expires_at, None, dict(limits or {}))
        return key, self._store(key, "keys create")

    def _store(self, key: ApiKey, action: str) -> str:
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        with self.database.writing() as connection:
            connection.execute(insert(api_keys).values(digest=digest_of(secret), **_to_row(key)))
            self._record(connection, key, action)
        return secret

    def find(self, digest: str) -> ApiKey | None:
        """The key with this digest, valid or not."""
        with self.database.reading() as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.digest == digest)).first()
        return None if row is None else _to_record(row)

    def list(self, tenant: str | None = None) -> list[ApiKey]:
        """The keys of a tenant, or of all, oldest first."""
        query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.key_id)
        if tenant is not None:
            query = query.where(api_keys.c.tenant == tenant)
        with self.database.reading() as connection:
            return [_to_record(row) for row in connection.execute(query)]

    def revoke(self, key_id: str) -> ApiKey:
        """End a key now. A second time changes nothing. Raises NotFoundError."""
        key = self._get(key_id)
        if key.revoked_at is None:
            now = int(self.clock())
            self._set(key, "keys revoke", revoked_at=now)
            key = replace(key, revoked_at=now)
        return key

    def rotate(self, key_id: str, overlap_s: int) -> tuple[ApiKey, str]:
        """A new key with the same rights; the old one stays valid for `overlap_s`. Raises NotFoundError for a key that
        is no longer valid.
        """
        old, now = self._get(key_id), int(self.clock())
        if not old.is_valid(now):
            raise NotFoundError("valid key", key_id)
        # The same time to live as the old one had.
        expires_at = None if old.expires_at is None else now + old.expires_at - old.created_at
        new = replace(old, key_id=random_id("key_"), created_at=now, expires_at=expires_at)
        secret = self._store(new, "keys create")
        self._set(old, "keys rotate", expires_at=min(now + overlap_s, old.expires_at or now + overlap_s))
        return new, secret

    def _get(self, key_id: str) -> ApiKey:
        with self.database.reading() as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.key_id == key_id)).first()
        if row is None:
            raise NotFoundError("key", key_id)
        return _to_record(row)

    def _set(self, key: ApiKey, action: str, **values: int) -> None:
        with self.database.writing() as connection:
            connection.execute(update(api_keys).where(api_keys.c.key_id == key.key_id).values(**values))
            self._record(connection, key, action)

    def _record(self, connection: Connection, key: ApiKey, action: str) -> None:
        event = AuditEvent("command line", f"ragserve {action}", ids={"key_id": key.key_id})
        add_event(connection, key.tenant, event, self.clock())


def _to_row(key: ApiKey) -> dict[str, Any]:
    stores = None if key.vector_store_ids is None else list(key.vector_store_ids)
    return vars(key) | {"vector_store_ids": stores}


def _to_record(row: Row[Any]) -> ApiKey:
    values = row._asdict() | {"vector_store_ids": None if row.vector_store_ids is None else tuple(row.vector_store_ids)}
    del values["digest"]
    return ApiKey(**values)
