"""What proxies and probes read of HTTP itself: methods, redirects, and a name that stands for a model."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from serve.settings import Settings
from tests.serve.api.response_samples import serving


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings.model_validate({"api": {"model_aliases": {"gpt-*": "ragserve"}}})
    async with serving(tmp_path, settings) as service, service.http() as client:
        yield client


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/v1/files", "GET, POST"), ("/v1/responses/resp_1", "DELETE, GET"), ("/healthz", "GET, HEAD")],
)
async def test_allow_names_every_method_of_a_path(http: httpx.AsyncClient, path: str, methods: str) -> None:
    response = await http.patch(path)

    assert (response.status_code, response.headers["allow"]) == (405, methods)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_probe_may_be_head(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.head(path)).status_code == (await http.get(path)).status_code


async def test_a_redirect_names_no_host(http: httpx.AsyncClient) -> None:
    response = await http.get("/v1/models/?stage=embed", headers={"host": "evil.example"})

    assert (response.status_code, response.headers["location"]) == (307, "/v1/models?stage=embed")


async def test_a_name_that_stands_for_a_model_is_described(http: httpx.AsyncClient) -> None:
    described = (await http.get("/v1/models/gpt-4o")).json()

    assert described == (await http.get("/v1/models/ragserve")).json() | {"id": "gpt-4o"}
    assert (await http.get("/v1/models/nope")).status_code == 404


async def test_a_number_of_too_many_digits_is_named(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/query", content='{"query": "x", "top_k": ' + "1" * 5_000 + "}")

    assert (response.status_code, "too many digits" in response.json()["error"]["message"]) == (422, True)
