"""Tokens of a real issuer over HTTP: what is accepted, what is refused, and what happens while it is down."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import ValidationError

from models.errors.access import UnauthorizedError
from models.errors.stages import StageUnavailableError
from serve.access import oidc
from serve.access.credentials import Access
from serve.access.oidc import FETCH_AGAIN_S, KEEP_KEYS_S, OidcConfig, OidcTokens
from serve.settings import Settings
from tests.patience import PATIENCE_S
from tests.serve.access.issuer import AUDIENCE, Issuer
from tests.serve.api.api_samples import Clock, error_of
from tests.serve.api.response_samples import serving


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    started = Issuer()
    yield started
    started.close()


def config(issuer: Issuer, changes: dict[str, Any]) -> OidcConfig:
    return OidcConfig.model_validate({"issuer": issuer.url, "audience": AUDIENCE} | changes)


def access(issuer: Issuer, clock: Callable[[], float] = time.monotonic, **changes: Any) -> Access:
    return Access([OidcTokens(config(issuer, changes), clock)])


async def test_a_token_names_the_tenant_the_role_and_the_actor(issuer: Issuer) -> None:
    tokens = access(issuer)

    caller = await tokens.caller(f"Bearer {issuer.token()}")
    again = await tokens.caller(f"Bearer {issuer.token(sub='bob', role=['staff', 'reader', 'admin'])}")

    assert (caller.tenant, caller.role, caller.actor, caller.vector_stores) == ("acme", "writer", "jwt:ann", None)
    assert (again.role, again.actor) == ("admin", "jwt:bob")
    assert issuer.num_requests == 2  # the discovery document and the keys, once


async def test_times_may_differ_by_the_skew_and_no_more(issuer: Issuer) -> None:
    tokens, now = access(issuer, clock_skew_s=300), int(time.time())

    await tokens.caller(f"Bearer {issuer.token(exp=now - 30)}")
    for late in ({"exp": now - 900}, {"nbf": now + 900}, {"iat": now + 900}):
        with pytest.raises(UnauthorizedError, match="not valid"):
            await tokens.caller(f"Bearer {issuer.token(**late)}")


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "other"},
        {"aud": None},
        {"iss": "http://127.0.0.1:1"},
        {"iss": None},
        {"exp": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "ann\0"},
        {"sub": "ann\ud800"},  # would be a 500 of the tenant's audit log
        {"sub": "ann\nadmin"},
        {"sub": "x" * 256},
        {"tenant": None},
        {"tenant": "a/b"},
        {"tenant": ["acme"]},
        {"role": None},
        {"role": "root"},
    ],
)
async def test_a_token_with_wrong_claims_is_refused(issuer: Issuer, claims: dict[str, Any]) -> None:
    token = issuer.token(**claims)

    with pytest.raises(UnauthorizedError) as refused:
        await access(issuer).caller(f"Bearer {token}")

    assert token.split(".")[1] not in str(refused.value)


async def test_a_forged_token_is_refused(issuer: Issuer) -> None:
    public = issuer.keys["first"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    good = issuer.token()
    header, claims, signature = good.split(".")
    unsigned = jwt.encode(jwt.decode(good, options={"verify_signature": False}), None, "none", headers={"kid": "first"})
    # Signed with the public key as if it were a shared secret.
    confused = _hmac_token(claims, pem)
    other = rsa.generate_private_key(65537, 2048)
    strange = jwt.encode({"iss": issuer.url, "aud": AUDIENCE, "sub": "a"}, other, "RS256", headers={"kid": "first"})

    for token in (
        unsigned,
        confused,
        strange,
        f"{header}.{claims}.",
        f"{header}.{claims}.{signature[:-8]}AAAAAAAA",
        "a.b.c",
        "..",
    ):
        with pytest.raises(UnauthorizedError):
            await access(issuer).caller(f"Bearer {token}")


def _hmac_token(claims: str, secret: bytes) -> str:
    import base64
    import hashlib
    import hmac

    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"first","typ":"JWT"}').rstrip(b"=").decode()
    digest = hmac.new(secret, f"{header}.{claims}".encode(), hashlib.sha256).digest()
    return f"{header}.{claims}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


async def test_only_the_pinned_algorithms_are_accepted(issuer: Issuer) -> None:
    issuer.keys["curve"] = ec.generate_private_key(ec.SECP256R1())
    token = issuer.token("curve", "ES256")

    assert (await access(issuer).caller(f"Bearer {token}")).tenant == "acme"
    with pytest.raises(UnauthorizedError, match="not one of RS256"):
        await access(issuer, algorithms=["RS256"]).caller(f"Bearer {token}")


async def test_new_keys_of_the_issuer_are_read_and_unknown_ones_do_not_flood_it(issuer: Issuer) -> None:
    clock = Clock()
    tokens = access(issuer, clock)
    await tokens.caller(f"Bearer {issuer.token()}")
    issuer.keys["second"] = rsa.generate_private_key(65537, 2048)
    first, second = issuer.token(sub="x"), issuer.token("second")

    for _ in range(3):
        with pytest.raises(UnauthorizedError, match="does not have"):
            await tokens.caller(f"Bearer {second}")
    assert issuer.num_requests == 2
    clock.ahead_s += FETCH_AGAIN_S + 1
    assert (await tokens.caller(f"Bearer {second}")).tenant == "acme"

    del issuer.keys["first"]
    clock.ahead_s += KEEP_KEYS_S + 1
    with pytest.raises(UnauthorizedError, match="does not have"):
        await tokens.caller(f"Bearer {first}")


async def test_while_the_issuer_is_down_its_last_keys_hold(issuer: Issuer) -> None:
    clock = Clock()
    tokens = access(issuer, clock)
    await tokens.caller(f"Bearer {issuer.token()}")
    issuer.is_down = True
    clock.ahead_s += KEEP_KEYS_S + 1

    assert (await tokens.caller(f"Bearer {issuer.token(sub='bob')}")).actor == "jwt:bob"
    with pytest.raises(StageUnavailableError):
        await access(issuer).caller(f"Bearer {issuer.token()}")


async def test_an_issuer_that_hangs_costs_one_token_its_time(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    tokens = access(issuer, clock)
    await tokens.caller(f"Bearer {issuer.token()}")
    issuer.may_answer.clear()
    clock.ahead_s += KEEP_KEYS_S + 1
    monkeypatch.setattr(oidc, "FETCH_S", 0.1)
    late = await tokens.caller(f"Bearer {issuer.token(sub='bob')}")

    monkeypatch.setattr(oidc, "FETCH_S", PATIENCE_S)  # the test would wait as long
    clock.ahead_s += FETCH_AGAIN_S + 1
    async with asyncio.timeout(PATIENCE_S / 2):
        others = [await tokens.caller(f"Bearer {issuer.token(sub=name)}") for name in ("eve", "joe")]
    issuer.keys["second"] = rsa.generate_private_key(65537, 2048)
    issuer.may_answer.set()
    new = await tokens.caller(f"Bearer {issuer.token('second', sub='sue')}")  # waits for the fetch beside

    assert [each.actor for each in (late, *others, new)] == ["jwt:bob", "jwt:eve", "jwt:joe", "jwt:sue"]


async def test_a_token_whose_end_is_a_text_is_taken_again(issuer: Issuer) -> None:
    tokens = access(issuer)
    token = issuer.token(exp=str(int(time.time()) + 300))

    callers = [await tokens.caller(f"Bearer {token}") for _ in range(2)]

    assert callers[0] == callers[1]


async def test_the_service_takes_tokens_beside_keys(issuer: Issuer, tmp_path: Path) -> None:
    trusted = {"issuer": issuer.url, "audience": AUDIENCE, "tenant": "default", "default_role": "reader"}
    settings = Settings.model_validate({"api": {"oidc": trusted}})
    async with serving(tmp_path, settings) as service, service.http() as http:
        headers = {"authorization": f"Bearer {issuer.token(role=None)}"}
        answered = await http.post("/v1/query", json={"query": "How hot is the oven?"}, headers=headers)
        denied = await http.delete(f"/v1/files/{service.file_id}", headers=headers)
        unknown = await http.post("/v1/query", json={"query": "x"}, headers={"authorization": "Bearer a.b.c"})
        _, secret = service.app.state.services.corpus.api_keys.create("default", "portal", "reader")
        by_key = await http.get("/v1/files", headers={"x-api-key": secret})

    assert "250 degrees" in answered.json()["answer"]
    assert error_of(denied) == (403, "forbidden", None)
    assert error_of(unknown) == (401, "invalid_api_key", None)
    assert by_key.status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "http://login.example.com"},
        {"issuer": "ftp://127.0.0.1"},
        {"jwks_url": "http://login.example.com/keys"},
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"algorithms": []},
        {"clock_skew": 3},
        {"tenant": "a b"},
    ],
)
def test_an_unsafe_configuration_is_refused(issuer: Issuer, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(issuer, changes)
