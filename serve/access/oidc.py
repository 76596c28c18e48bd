"""Tokens of an OpenID Connect issuer: JWTs whose signature, issuer, audience and times are checked."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic, time
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import httpx
import jwt
from jwt import PyJWK, PyJWKSet
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.corpus.api_keys import ROLES, Role, digest_of
from models.errors.access import UnauthorizedError
from models.errors.stages import StageUnavailableError
from serve.access.caller import Caller
from serve.access.keys import TENANT
from serve.access.readers import readers_of

STAGE = "oidc"
DISCOVERY = "/.well-known/openid-configuration"
FETCH_S = 5.0
MAX_DOCUMENT_BYTES = 1024**2
KEEP_KEYS_S = 600.0  # of the issuer
FETCH_AGAIN_S = 10.0  # for a key that is unknown: anybody may send one
MAX_ACTOR_CHARS = 128
MAX_USER_CHARS = 255  # of `sub`, as OpenID Connect says
MAX_VERIFIED, KEEP_VERIFIED_S = 4096, 60.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Asymmetric ones alone: a symmetric key would have to be shared with the issuer.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class OidcConfig(BaseModel):
    """An issuer, and what its claims mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(max_length=1024, description="`iss` of the tokens, an https URL; http on this machine alone.")
    audience: str = Field(min_length=1, max_length=1024, description="`aud` of the tokens: this service.")
    jwks_url: str | None = Field(
        default=None, max_length=1024, description="The issuer's keys. None: as its discovery document says."
    )
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256", "ES256"), min_length=1, description="Accepted ones.")
    clock_skew_s: float = Field(default=60.0, ge=0, le=600, description="Difference of the clocks, in seconds.")
    tenant: str | None = Field(
        default=None, pattern=f"^{TENANT.pattern}$", description="Tenant of all tokens. None: tenant_claim."
    )
    tenant_claim: str = Field(default="tenant", min_length=1, max_length=256, description="Claim of the tenant.")
    role_claim: str = Field(
        default="role", min_length=1, max_length=256, description="Claim of the role, or of a list that has it."
    )
    groups_claim: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="Claim of a list of groups. With it, a token of the role reader reads only files with one of the "
        "attributes reader:everyone, reader:user:SUB and reader:group:GROUP. None: all files.",
    )
    default_role: Role | None = Field(default=None, description="Role of a token without one. None: refused.")

    @model_validator(mode="after")
    def _check_urls(self) -> Self:
        for url in filter(None, (self.issuer, self.jwks_url)):
            _check_url(url)
        return self


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ValueError(f"{url!r} must be an https URL; http is accepted on the loopback address alone")


class OidcTokens:
    """Finds the caller of a token. Belongs to one event loop."""

    def __init__(
        self,
        config: OidcConfig,
        clock: Callable[[], float] = monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._config, self._clock = config, clock
        self._keys = IssuerKeys(config, clock, transport)
        self._verified: OrderedDict[str, tuple[float, dict[str, Any]]] = OrderedDict()

    async def find(self, credential: str) -> Caller | None:
        """The caller, or None for what is no JWT. Raises UnauthorizedError, and StageUnavailableError without keys."""
        if credential.count(".") != 2:
            return None
        digest = digest_of(credential)
        verified = self._verified.get(digest)
        if (
            verified is not None
            and self._clock() < verified[0]
            and time() < int(verified[1]["exp"]) + self._config.clock_skew_s  # the library takes a text, too
        ):
            return self._caller(verified[1])
        claims = await self._claims(credential)
        self._verified[digest] = (self._clock() + KEEP_VERIFIED_S, claims)
        if len(self._verified) > MAX_VERIFIED:
            self._verified.popitem(last=False)
        return self._caller(claims)

    async def _claims(self, token: str) -> dict[str, Any]:
        """The claims of a token that is valid. The library's messages name the claim, and show no token."""
        config = self._config
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in config.algorithms:
                raise UnauthorizedError(f"the token's algorithm is not one of {', '.join(config.algorithms)}")
            key = await self._keys.find(header.get("kid"))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(config.algorithms),
                audience=config.audience,
                issuer=config.issuer,
                leeway=config.clock_skew_s,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise UnauthorizedError(f"the token is not valid: {_reason(error)}") from None
        except (RecursionError, OverflowError, ValueError, TypeError):  # of nested JSON, or of a claim of another type
            raise UnauthorizedError("the token is not valid: its JSON is no header and claims") from None
        return claims

    def _caller(self, claims: dict[str, Any]) -> Caller:
        tenant = self._config.tenant or claims.get(self._config.tenant_claim)
        if not isinstance(tenant, str) or not TENANT.fullmatch(tenant):
            raise UnauthorizedError(f"the token's claim {self._config.tenant_claim!r} names no tenant")
        role, user = self._role(claims), str(claims["sub"])
        # It is stored and logged. No UTF-8 has half of a surrogate pair, and no PostgreSQL NUL.
        if not user.isprintable() or not 0 < len(user) <= MAX_USER_CHARS:
            raise UnauthorizedError(f"the token's `sub` must have 1 to {MAX_USER_CHARS} printable characters")
        readers = self._readers(claims, role, user)
        person = None if readers is None else user
        return Caller(tenant, role, actor=_actor(user), readers=readers, user=person)

    def _readers(self, claims: dict[str, Any], role: Role, user: str) -> frozenset[str] | None:
        """Writers change all documents, so they read all."""
        if self._config.groups_claim is None or role != "reader":
            return None
        groups = claims.get(self._config.groups_claim)
        return readers_of(user, groups if isinstance(groups, list) else [])

    def _role(self, claims: dict[str, Any]) -> Role:
        """The highest role that the claim has."""
        value = claims.get(self._config.role_claim)
        names = value if isinstance(value, list) else [value]
        role = next((role for role in reversed(ROLES) if role in names), self._config.default_role)
        if role is None:
            raise UnauthorizedError(f"the token's claim {self._config.role_claim!r} has none of {', '.join(ROLES)}")
        return role


class IssuerKeys:
    """The public keys of an issuer, fetched when they are needed and kept. An issuer that is down is asked later."""

    def __init__(
        self, config: OidcConfig, clock: Callable[[], float], transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._config, self._clock, self._transport = config, clock, transport
        self._keys: dict[str | None, PyJWK] = {}
        self._fetched_at, self._tried_at = float("-inf"), float("-inf")
        self._is_down = False  # the last fetch failed
        self._lock = asyncio.Lock()
        self._beside: asyncio.Task[None] | None = None  # a fetch that no token waits for; owned here until it ends

    async def find(self, key_id: str | None) -> PyJWK:
        """The key. Raises UnauthorizedError for one that the issuer lacks, StageUnavailableError without any."""
        is_old = self._clock() - self._fetched_at > KEEP_KEYS_S
        if is_old and self._is_down and key_id in self._keys:
            self._fetch_beside()
        elif is_old or key_id not in self._keys:
            await self._fetch_if_due()
        if not self._keys:
            raise StageUnavailableError(STAGE)
        if key_id not in self._keys:
            raise UnauthorizedError("the token is signed with a key that its issuer does not have")
        return self._keys[key_id]

    def _fetch_beside(self) -> None:
        """An issuer that hangs costs one token its time, and no further ones."""
        if self._beside is None or self._beside.done():
            self._beside = asyncio.get_running_loop().create_task(self._fetch_if_due())

    async def _fetch_if_due(self) -> None:
        async with self._lock:
            if self._clock() - self._tried_at > FETCH_AGAIN_S:
                self._tried_at, self._is_down = self._clock(), True
                await self._fetch()

    async def _fetch(self) -> None:
        """Read the keys. If that fails, the earlier ones stay."""
        try:
            async with (
                asyncio.timeout(FETCH_S),  # httpx has a timeout for each read alone
                httpx.AsyncClient(timeout=FETCH_S, trust_env=False, transport=self._transport) as http,
            ):
                url = self._config.jwks_url or await self._discovered_url(http)
                keys = PyJWKSet.from_dict(await _json(http, url))
        except (httpx.HTTPError, TimeoutError, ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError):
            return
        self._keys = {key.key_id: key for key in keys.keys if key.public_key_use in (None, "sig")}
        self._fetched_at, self._is_down = self._clock(), False

    async def _discovered_url(self, http: httpx.AsyncClient) -> str:
        document = await _json(http, self._config.issuer.rstrip("/") + DISCOVERY)
        if document["issuer"] != self._config.issuer:
            raise ValueError("the discovery document is of another issuer")
        url = str(document["jwks_uri"])
        _check_url(url)
        return url


async def _json(http: httpx.AsyncClient, url: str) -> dict[str, Any]:
    async with http.stream("GET", url) as response:
        response.raise_for_status()
        content = b""
        async for block in response.aiter_bytes():
            content += block
            if len(content) > MAX_DOCUMENT_BYTES:
                raise ValueError("the document is too large")
    document: dict[str, Any] = httpx.Response(200, content=content).json()
    if not isinstance(document, dict):
        raise ValueError("the document is no JSON object")
    return document


def _actor(user: str) -> str:
    """The name in the audit log and of counters: a long `sub` is cut, and still no other user's."""
    actor = f"jwt:{user}"
    return actor if len(actor) <= MAX_ACTOR_CHARS else f"{actor[: MAX_ACTOR_CHARS - 33]}~{digest_of(user)[:32]}"


def _reason(error: jwt.PyJWTError) -> str:
    """The library's own words, without anything of the token."""
    return re.sub(r"[^ -~]", "?", str(error))[:200]
