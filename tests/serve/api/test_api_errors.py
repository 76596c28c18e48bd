"""Errors of every route: a body that cannot be read, and the headers for retries."""

import httpx
import openai
import pytest

from tests.serve.api.api_samples import Running, error_of


async def test_a_body_that_is_not_an_object_is_refused_without_a_param(http: httpx.AsyncClient) -> None:
    for body in (b"{not json", b'"a string"', b"[]", b"7", b""):
        status, code, param = error_of(await http.post("/v1/query", content=body))
        assert (status, code, param) == (422, "invalid_request", None), body


async def test_a_deeply_nested_body_is_refused(http: httpx.AsyncClient) -> None:
    deep: dict[str, object] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(20):
        deep = {"type": "and", "filters": [deep]}

    response = await http.post("/v1/vector_stores/default/search", json={"query": "x", "filters": deep})
    deepest = await http.post("/v1/query", content=b'{"a":' * 10_000)

    assert error_of(response) == (422, "invalid_request", "filters")
    assert deepest.status_code in (400, 422)


async def test_an_unknown_field_and_a_missing_one_are_named(http: httpx.AsyncClient) -> None:
    unknown = await http.post("/v1/query", json={"query": "x", "top_kk": 3})
    missing = await http.post("/v1/query", json={})

    messages = [response.json()["error"]["message"] for response in (unknown, missing)]
    assert messages == [
        "top_kk: unknown field; /docs lists the fields of this route",
        "query: this field is required",
    ]


def test_every_route_documents_the_error_object(service: Running) -> None:
    document = service.app.openapi()

    for path, operations in document["paths"].items():
        for operation in operations.values():
            schema = operation["responses"]["default"]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorBody"}, path
            assert operation["description"], path
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_openais_client_does_not_retry_a_conflict(service: Running) -> None:
    statuses: list[int] = []

    async def count(response: object) -> None:
        statuses.append(response.status_code)

    async with service.openai_client("any") as client:
        client = client.with_options(max_retries=2)
        client._client.event_hooks["response"] = [count]
        uploaded = await client.files.create(file=("a.md", b"alpha"), purpose="assistants")
        with pytest.raises(openai.ConflictError, match="no text yet"):
            await client.get(f"/files/{uploaded.id}/text", cast_to=str)

    assert statuses == [200, 409]
