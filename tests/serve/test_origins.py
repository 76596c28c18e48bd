"""What web pages of other origins may not do, on every route; programs and the service's own page stay as they are."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from serve.settings import ApiLimits
from tests.serve.api.api_samples import URL
from tests.serve.api.response_samples import Service, serving

EVIL = "http://evil.example"
MATCHES_ALL = {"filters": {"type": "ne", "key": "topic", "value": "none"}}
MESSAGE = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
FOREIGN = {
    "another origin": {"origin": EVIL},
    "another port": {"origin": f"{URL}:3000"},
    "a file or sandbox": {"origin": "null"},
    "no URL": {"origin": "http://["},
    "another site without origin": {"sec-fetch-site": "cross-site"},
    "another site": {"origin": EVIL, "sec-fetch-site": "cross-site"},
    "another host of this site": {"origin": "http://other.ragserve", "sec-fetch-site": "same-site"},
}
OWN = {
    "a program": {},
    "the page": {"origin": URL},
    "the page on a default port": {"origin": f"{URL}:80"},
    "the page behind TLS": {"origin": "https://ragserve"},
    "the page behind a proxy with another host": {"origin": "https://rag.example", "sec-fetch-site": "same-origin"},
}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(tmp_path) as started:
        yield started


@pytest.fixture
async def http(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with service.http() as client:
        yield client


def refusal_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def delete_all(http: httpx.AsyncClient, headers: dict[str, str]) -> httpx.Response:
    """What a form's content type and JSON make a simple request, which needs no preflight."""
    content = json.dumps(MATCHES_ALL)
    return await http.post("/v1/vector_stores/default/delete_by_filter", content=content, headers=headers)


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
async def test_a_page_of_another_origin_changes_nothing(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    responses = [
        await delete_all(http, headers | FORM),
        await delete_all(http, headers),
        await delete_all(http, headers | {"content-type": "text/plain"}),
        await http.post(
            "/v1/files", files={"file": ("poison.md", b"x")}, data={"purpose": "assistants"}, headers=headers
        ),
        await http.post("/v1/conversations", json={}, headers=headers),
        await http.post("/mcp", json=MESSAGE, headers=headers),
        await http.delete("/v1/vector_stores/default", headers=headers),
    ]

    assert [refusal_of(response) for response in responses] == [(403, "forbidden")] * len(responses)
    assert len((await http.get("/v1/vector_stores/default/files")).json()["data"]) == 1
    assert len((await http.get("/v1/files")).json()["data"]) == 1


@pytest.mark.parametrize("headers", OWN.values(), ids=OWN)
async def test_programs_and_the_own_page_change_what_they_want(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    response = await delete_all(http, headers | FORM)

    assert response.status_code == 200, response.text
    assert (await http.get("/v1/vector_stores/default/files")).json()["data"] == []


async def test_a_link_from_another_site_opens_the_page(http: httpx.AsyncClient) -> None:
    response = await http.get("/", headers={"sec-fetch-site": "cross-site"})

    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers


async def test_the_operator_allows_origins(service: Service, http: httpx.AsyncClient) -> None:
    page = {"origin": "https://app.example.org", "sec-fetch-site": "cross-site"}
    configure(service, allowed_origins=["https://app.example.org"])
    assert (await http.post("/v1/conversations", json={}, headers=page)).status_code == 200
    assert (await http.post("/v1/conversations", json={}, headers={"origin": EVIL})).status_code == 403

    configure(service, allowed_origins=["*"])
    assert (await http.post("/v1/conversations", json={}, headers={"origin": EVIL})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[", "localhost@evil"])
async def test_another_host_reads_and_writes_nothing(service: Service, http: httpx.AsyncClient, host: str) -> None:
    configure(service, allowed_hosts=["localhost", "127.0.0.1", "::1"])
    headers = {"host": host, "origin": f"http://{host}"}

    assert refusal_of(await http.get("/v1/files", headers=headers)) == (403, "forbidden")
    assert refusal_of(await http.post("/mcp", json=MESSAGE, headers=headers)) == (403, "forbidden")
    assert (await http.get("/healthz", headers=headers)).status_code == 200


@pytest.mark.parametrize("host", ["localhost:8000", "LOCALHOST", "127.0.0.1:8000", "[::1]:8000", "localhost."])
async def test_the_names_of_this_machine_are_allowed(service: Service, http: httpx.AsyncClient, host: str) -> None:
    configure(service, allowed_hosts=["localhost", "127.0.0.1", "::1"])

    assert (await http.get("/v1/files", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "limits",
    [
        {"allowed_origins": ["app.example.org"]},
        {"allowed_origins": ["https://app.example.org/"]},
        {"allowed_origins": ["https://App.example.org"]},
        {"allowed_hosts": ["http://localhost"]},
        {"allowed_hosts": [f"host-{number}" for number in range(65)]},
    ],
)
def test_a_name_that_would_never_match_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ApiLimits.model_validate(limits)


def configure(service: Service, **limits: Any) -> None:
    service.live.configure({"api": limits})
