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
    assert error_of(deepest) == (422, "invalid_request", None)


async def test_an_unknown_field_and_a_missing_one_are_named(http: httpx.AsyncClient) -> None:
    unknown = await http.post("/v1/query", json={"query": "x", "top_kk": 3})
    missing = await http.post("/v1/query", json={})

    messages = [response.json()["error"]["message"] for response in (unknown, missing)]
    assert messages == [
        "top_kk: unknown field; /docs lists the fields of this route",
        "query: this field is required",
    ]


async def test_a_list_with_too_few_or_too_many_items_says_how_many_it_may_have(http: httpx.AsyncClient) -> None:
    path = "/v1/vector_stores/default/file_batches"
    responses = [await http.post(path, json={"file_ids": ["file-1"] * number}) for number in (0, 501)]

    messages = [response.json()["error"]["message"] for response in responses]
    assert messages == ["file_ids: at least 1 item is needed", "file_ids: at most 500 items are allowed"]


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


JSON = {"content-type": "application/json"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("content", "headers", "reason"),
    [
        (b'{"query": "caf\xe9"}', JSON, "UTF-8"),
        (b'{"query": "x", "filters": ' + b'{"type":"and","filters":[' * 2_000, JSON, "nested"),
        (b'{"query": "x"}', {"content-type": "text/plain"}, "application/json"),
        (b'"text"', JSON, "JSON object"),
    ],
)
async def test_a_body_that_is_no_json_says_why(
    http: httpx.AsyncClient, content: bytes, headers: dict[str, str], reason: str
) -> None:
    response = await http.post("/v1/query", content=content, headers=headers)

    assert error_of(response) == (422, "invalid_request", None)
    assert reason in response.json()["error"]["message"]


async def test_a_broken_form_has_the_documented_status(http: httpx.AsyncClient) -> None:
    for boundary in ("", "; boundary=x"):
        headers = {"content-type": f"multipart/form-data{boundary}"}
        response = await http.post("/v1/files", content=b"no form", headers=headers)
        assert error_of(response)[:2] == (422, "invalid_request"), boundary


@pytest.mark.parametrize(
    ("path", "body", "param", "reason"),
    [
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, IMAGE]}]},
            "messages.0.content.1",
            "answers from documents read text alone, no image_url",
        ),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": " "}]}, "messages", "empty"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x" * 9_000}]}, "messages", "8000"),
        ("/v1/vector_stores/default/search", {"query": ["a"] * 100}, "query", "at most"),
        ("/v1/vector_stores/default/search", {"query": ["a", ""]}, "query.1", "at least 1 character"),
        (
            "/v1/query",
            {"query": "x", "filters": {"type": "in", "key": "a", "value": ["v"] * 300}},
            "filters.value",
            "at most 256",
        ),
    ],
)
async def test_a_message_names_the_field_and_the_reason(
    http: httpx.AsyncClient, path: str, body: dict[str, object], param: str, reason: str
) -> None:
    response = await http.post(path, json=body)

    assert error_of(response) == (422, "invalid_request", param)
    assert reason in response.json()["error"]["message"]


async def test_an_unknown_query_parameter_is_named(http: httpx.AsyncClient) -> None:
    for path, name in (
        ("/v1/files?limitt=3", "limitt"),
        ("/v1/models?zzz=1", "zzz"),
        ("/v1/files?limit=1&limit=2", "limit"),
    ):
        assert error_of(await http.get(path)) == (422, "invalid_request", name)
    assert error_of(await http.post("/v1/query?top_k=3", json={"query": "x"})) == (422, "invalid_request", "top_k")


async def test_a_form_field_that_is_unknown_or_repeated_is_named(http: httpx.AsyncClient) -> None:
    part = ("a.md", b"alpha")
    unknown = await http.post("/v1/files", files={"file": part}, data={"purpos": "assistants"})
    repeated = await http.post("/v1/files", files=[("file", part), ("file", ("b.md", b"beta"))])
    nameless = await http.post("/v1/files", data={"file": "alpha"}, files={"purpose": (None, "assistants")})

    assert error_of(unknown) == (422, "invalid_request", "purpos")
    assert "did you mean 'purpose'?" in unknown.json()["error"]["message"]
    assert error_of(repeated) == (422, "invalid_request", "file")
    assert error_of(nameless) == (422, "invalid_request", "file")
    assert "not a file" in nameless.json()["error"]["message"]
    assert (await http.get("/v1/files")).json()["data"] == []


@pytest.mark.parametrize("path", ["files/%00", "vector_stores/a%00", "responses/%00", "conversations/%00/items"])
async def test_an_id_that_no_database_can_hold_is_unknown(http: httpx.AsyncClient, path: str) -> None:
    assert error_of(await http.get(f"/v1/{path}")) == (404, "not_found", None)


async def test_ids_and_cursors_have_no_nul(http: httpx.AsyncClient) -> None:
    listed = await http.get("/v1/files", params={"after": "a\0"})
    asked = await http.post("/v1/query", json={"query": "x", "vector_store_ids": ["a\0"]})

    assert (error_of(listed), error_of(asked)) == (
        (422, "invalid_request", "after"),
        (422, "invalid_request", "vector_store_ids.0"),
    )
