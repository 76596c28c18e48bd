"""The door under attack: each kind of hostile request is refused by its own error, and none is a 5xx."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from models.errors.access import UnauthorizedError
from models.errors.stages import StageUnavailableError
from serve.access import oidc
from serve.access.credentials import MAX_CREDENTIAL_CHARS, Access
from serve.access.oidc import OidcConfig, OidcTokens
from tests.patience import PATIENCE_S
from tests.serve.access.issuer import AUDIENCE, Issuer
from tests.serve.api.api_samples import Clock, Running, error_of, running

PUBLIC = {"/", "/docs", "/page/{name}", "/healthz", "/readyz", "/metrics", "/openapi.json"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    keys_file = tmp_path / "keys.yaml"
    keys_file.write_text(f"unused: [{'a' * 64}]\n")
    async with running(tmp_path, Clock(), keys_file) as started:
        yield started


@pytest.fixture
async def admin(service: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with service.http(service.corpus.api_keys.create("acme", "admin", "admin")[1]) as http:
        yield http


async def raw(
    service: Running, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes = b""
) -> tuple[int, bytes]:
    """Status and body of a request as no client would send it; it reaches the application as the server decodes it."""
    sent: list[Any] = []

    arriving = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not arriving:
            await asyncio.Event().wait()  # the client stays
        return arriving.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("latin-1", "replace"),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("192.0.2.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await service.app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


METHODS = ["HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "x" * 5000]


async def test_no_other_method_gets_past_the_key(service: Running) -> None:
    for method in METHODS:
        paths = {route.path for route in service.app.routes if isinstance(route, APIRoute)} - PUBLIC
        for path in paths:
            status, _ = await raw(service, method, path, [])
            assert status in (401, 405), (method, path, status)


PATHS = [
    "//v1/files",
    "/v1//files",
    "/v1/files/",
    "/v1/files\n",
    "/v1/files;x",
    "/V1/files",
    "/v1/./files",
    "/v1/../v1/files",
]


async def test_another_spelling_of_a_path_is_no_way_past_the_key(service: Running) -> None:
    for path in PATHS:
        assert service.corpus.files.usage("default") == (0, 0)
        for method in ("GET", "POST"):
            status, _ = await raw(service, method, path, [])
            assert status in (307, 401, 404, 405), (method, path, status)


async def test_an_encoded_path_has_the_same_role(service: Running) -> None:
    reader = service.corpus.api_keys.create("acme", "reader", "reader")[1]
    async with service.http(reader) as http:
        denied = [await http.get(path) for path in ("/v1/%61udit_log", "/v1/audit%5Flog")]
        listed = await http.get("/v1/%66iles")

    assert [each.status_code for each in (*denied, listed)] == [403, 403, 200]


async def test_no_header_names_the_tenant(admin: httpx.AsyncClient) -> None:
    await admin.post("/v1/files", files={"file": ("a.md", b"The mill is closed.")})
    names = ("x-tenant", "tenant", "x-ragserve-tenant", "openai-organization", "openai-project", "x-forwarded-user")

    for name in names:
        listed = await admin.get("/v1/files", headers={name: "globex"})
        assert len(listed.json()["data"]) == 1, name
    assert (await admin.get("/v1/files", params={"tenant": "globex"})).status_code == 422


TIMEOUTS = ["-1", "0", "1e309", "nan", "NaN", "inf", "-inf", "", "1,5", "0x10", "1_000", "9" * 5000, "５", "1;2"]


async def test_a_deadline_is_a_number_of_seconds(service: Running) -> None:
    key = service.corpus.api_keys.create("acme", "reader", "reader")[1].encode()
    for value in TIMEOUTS:
        headers = [(b"authorization", b"Bearer " + key), (b"x-request-timeout", value.encode())]

        status, body = await raw(service, "POST", "/v1/embeddings", headers, b'{"input": "a"}')

        assert (status, json.loads(body)["error"]["param"]) == (422, "x-request-timeout")


async def test_two_deadlines_that_differ_are_refused(service: Running) -> None:
    key = service.corpus.api_keys.create("acme", "reader", "reader")[1].encode()
    statuses = []
    for timeouts in ([b"9", b"5"], [b"9", b""], [b"9", b"9"]):
        headers = [(b"authorization", b"Bearer " + key), *((b"x-request-timeout", value) for value in timeouts)]

        status, body = await raw(service, "POST", "/v1/embeddings", headers, b'{"input": "a"}')

        statuses.append((status, json.loads(body).get("error", {}).get("param")))
    assert statuses == [(422, "x-request-timeout"), (422, "x-request-timeout"), (200, None)]


async def test_two_credentials_in_one_header_are_refused(service: Running) -> None:
    keys = [service.corpus.api_keys.create(tenant, "reader", "reader")[1].encode() for tenant in ("acme", "globex")]
    for name, scheme in ((b"authorization", b"Bearer "), (b"x-api-key", b"")):
        for first, second in (keys, keys[::-1], (keys[0], b""), (b"", keys[0]), (keys[0], b"wrong")):
            status, body = await raw(service, "GET", "/v1/files", [(name, scheme + first), (name, scheme + second)])

            assert (status, json.loads(body)["error"]["code"]) == (401, "invalid_api_key")
            assert b"several values" in body
        status, _ = await raw(service, "GET", "/v1/files", [(name, scheme + keys[0])] * 2)
        assert status == 200


async def test_of_both_headers_authorization_counts(service: Running) -> None:
    acme, globex = [service.corpus.api_keys.create(tenant, "w", "writer")[1].encode() for tenant in ("acme", "globex")]
    service.corpus.files.add("globex", "a.md", b"The mill is closed.")

    both = [(b"x-api-key", acme), (b"authorization", b"Bearer " + globex)]
    listed = [await raw(service, "GET", "/v1/files", headers) for headers in (both, both[::-1])]
    refused = [
        await raw(service, "GET", "/v1/files", [(b"x-api-key", acme), (b"authorization", value)])
        for value in (b"Bearer wrong", b"Basic YTpi")
    ]

    assert [(status, len(json.loads(body)["data"])) for status, body in listed] == [(200, 1)] * 2
    assert [status for status, _ in refused] == [401, 401]


LENGTHS = ["-1", "+5", "9" * 19, "9" * 5000, "5, 5", "0x5", "", "5 "]


async def test_a_length_that_is_none_is_refused(service: Running) -> None:
    key = service.corpus.api_keys.create("acme", "reader", "reader")[1].encode()
    for length in LENGTHS:
        headers = [(b"authorization", b"Bearer " + key), (b"content-length", length.encode())]

        status, _ = await raw(service, "POST", "/v1/embeddings", headers, b'{"input": "a"}')

        assert status == 413


CREDENTIALS = [
    b"Bearer",
    b"Bearer ",
    b"Basic YTpi",
    b"Bearer \xff\xfe",
    b"Bearer a\x00b",
    b"Bearer " + b"x" * MAX_CREDENTIAL_CHARS * 4,
]


async def test_what_is_no_key_is_a_401(service: Running) -> None:
    for credential in CREDENTIALS:
        for path, method in (("/v1/files", "GET"), ("/v1/query", "POST"), ("/mcp", "POST")):
            status, body = await raw(service, method, path, [(b"authorization", credential)])
            assert (status, json.loads(body)["error"]["code"]) == (401, "invalid_api_key")


async def test_packed_json_is_not_unpacked(admin: httpx.AsyncClient) -> None:
    for encoding in ("gzip", "deflate", "br", "zstd"):
        headers = {"content-encoding": encoding, "content-type": "application/json"}
        response = await admin.post("/v1/query", content=b"\x1f\x8b" + b"\x00" * 1000, headers=headers)
        assert error_of(response)[:2] == (422, "invalid_request")


def form(parts: Iterator[bytes], boundary: bytes = b"b") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


FIELD = b'content-disposition: form-data; name="f%d"\r\n\r\nx'
FORMS = {
    "many fields": form(FIELD % number for number in range(20_000)),
    "many files": form(FIELD.replace(b'"f%d"', b'"file"; filename="a.md"') for _ in range(5_000)),
    "a long header": form(iter([b"content-disposition: form-data; name=" + b"x" * 1_000_000 + b"\r\n\r\nx"])),
    "many headers": form(iter([b"a: b\r\n" * 50_000 + b'content-disposition: form-data; name="file"\r\n\r\nx'])),
    "no name": form(iter([b"content-disposition: form-data\r\n\r\nx"])),
    "no end": b'--b\r\ncontent-disposition: form-data; name="file"\r\n\r\nx',
    "no form": b"x" * 10_000,
    "half of UTF-8": form(iter([b'content-disposition: form-data; name="file"; filename="\xff.md"\r\n\r\nx'])),
}


async def test_a_hostile_form_is_refused(admin: httpx.AsyncClient) -> None:
    for name, content in FORMS.items():
        headers = {"content-type": "multipart/form-data; boundary=b"}
        response = await admin.post("/v1/files", content=content, headers=headers)
        assert 400 <= response.status_code < 500 or name == "half of UTF-8", (name, response.text)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    started = Issuer()
    yield started
    started.close()


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


HEADERS = [
    b'{"alg":"RS256","kid":"../../../../dev/null"}',
    b'{"alg":"RS256","kid":"x\' OR 1=1 --"}',
    b'{"alg":"RS256","kid":["first"]}',
    b'{"alg":"RS256","kid":{}}',
    b'{"alg":["RS256"],"kid":"first"}',
    b'{"alg":"RS256","kid":"first","crit":["exp"],"exp":1}',
    b'{"alg":"RS256","kid":"first","jwk":{"kty":"oct","k":"AA"},"jku":"http://attacker.invalid/"}',
    b'{"alg":"RS256","kid":"\\ud800"}',
    b'{"alg":1e999}',
    b"[" * 8_000,
    b'{"a":' * 2_000,
    b"[]",
    b"null",
    b"\xff\xfe",
    b"",
]


async def test_a_hostile_header_of_a_token_is_a_401(issuer: Issuer) -> None:
    access = Access([OidcTokens(OidcConfig(issuer=issuer.url, audience=AUDIENCE))])
    _, claims, signature = issuer.token().split(".")

    for header in HEADERS:
        with pytest.raises(UnauthorizedError):
            await access.caller(f"Bearer {segment(header)}.{claims}.{signature}")


class Dripping(httpx.AsyncBaseTransport):
    """An issuer that sends a byte at a time, and never ends."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async def content() -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await asyncio.sleep(0.001)

        return httpx.Response(200, content=content())


async def test_an_issuer_that_never_ends_its_answer_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "FETCH_S", 0.05)
    config = OidcConfig(issuer="https://issuer.invalid", audience=AUDIENCE, jwks_url="https://issuer.invalid/keys")
    tokens = OidcTokens(config, transport=Dripping())
    token = segment(b'{"alg":"RS256","kid":"a"}') + ".e30.AA"

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StageUnavailableError):
            await tokens.find(token)
