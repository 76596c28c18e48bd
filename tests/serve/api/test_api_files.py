"""/v1/files with OpenAI's own client, and our additions to it."""

import time
from typing import Any

import httpx
import openai
import pytest

from tests.serve.api.api_samples import MAX_UPLOAD_BYTES, error_of, ingest_file


async def test_a_file_is_stored_and_deleted(client: openai.AsyncOpenAI) -> None:
    uploaded = await client.files.create(file=("a.md", b"alpha"), purpose="user_data")

    assert (uploaded.filename, uploaded.bytes, uploaded.purpose) == ("a.md", 5, "user_data")
    assert (uploaded.status, uploaded.expires_at, uploaded.version) == ("processed", None, 1)
    assert await client.files.retrieve(uploaded.id) == uploaded
    assert await client.files.wait_for_processing(uploaded.id) == uploaded
    assert (await client.files.content(uploaded.id)).content == b"alpha"
    assert (await client.files.delete(uploaded.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.files.content(uploaded.id)


async def test_a_file_may_expire(client: openai.AsyncOpenAI) -> None:
    expires_after = {"anchor": "created_at", "seconds": 3600}

    uploaded = await client.files.create(file=("a.md", b"alpha"), purpose="assistants", expires_after=expires_after)

    assert abs(uploaded.expires_at - time.time() - 3600) < 60
    assert await client.files.retrieve(uploaded.id) == uploaded


async def test_lists_are_paged_and_take_openais_largest_limit(client: openai.AsyncOpenAI) -> None:
    names = [f"{number}.md" for number in range(5)]
    for name in names:
        await client.files.create(file=(name, name.encode()), purpose="assistants")
    await client.files.create(file=("other.md", b"other"), purpose="user_data")

    paged = [file.filename async for file in client.files.list(limit=2, order="asc", purpose="assistants")]
    whole = await client.files.list(limit=10_000, purpose="assistants")
    named = await client.files.list(extra_query={"filename": "other.md"})

    assert paged == names
    assert [file.filename for file in whole.data] == names[::-1]
    assert [file.filename for file in named.data] == ["other.md"]


@pytest.mark.parametrize("form", ["raw", "multipart", "without a type"])
async def test_replaced_content_is_the_files_next_version(
    client: openai.AsyncOpenAI, http: httpx.AsyncClient, form: str
) -> None:
    file_id = await ingest_file(client, "tide.md", b"The tide is at noon.", "default")
    url, content = f"/v1/files/{file_id}/content", b"The tide is at midnight."
    body = {
        "raw": {"content": content, "headers": {"content-type": "text/markdown"}},
        "multipart": {"files": {"file": ("tmp123", content)}},
        "without a type": {"content": content},
    }[form]

    replaced = (await http.put(url, **body)).json()
    again = (await http.put(url, **body)).json()
    attached = await client.vector_stores.files.poll(file_id, vector_store_id="default", poll_interval_ms=10)

    assert (replaced["id"], replaced["filename"], replaced["version"]) == (file_id, "tide.md", 2)
    assert again == replaced
    assert (attached.status, attached.version) == ("completed", 2)
    assert (await client.files.content(file_id)).content == content
    assert (await http.get(f"/v1/files/{file_id}/text")).text == content.decode()
    results = await client.vector_stores.search("default", query="tide")
    assert [result.content[0].text for result in results.data] == [content.decode()]


async def test_a_new_version_may_have_a_new_name(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    uploaded = await client.files.create(file=("a.md", b"alpha"), purpose="assistants")

    renamed = await http.put(f"/v1/files/{uploaded.id}/content", content=b"beta", params={"filename": "b.md"})

    assert (renamed.json()["filename"], renamed.json()["version"]) == ("b.md", 2)


UPLOAD = {"file": ("a.md", b"alpha")}
BAD_UPLOADS: list[tuple[dict[str, Any], int, str]] = [
    ({"files": {"file": ("a.md", b"")}}, 422, "file"),
    ({"files": {"file": ("a.md", b"x" * (MAX_UPLOAD_BYTES + 1))}}, 413, "file"),
    ({"data": {"purpose": "assistants"}}, 422, "file"),
    ({"files": UPLOAD, "data": {"purpose": "world domination"}}, 422, "purpose"),
    ({"files": UPLOAD, "data": {"expires_after[seconds]": "3600"}}, 422, "expires_after"),
    (
        {"files": UPLOAD, "data": {"expires_after[anchor]": "created_at", "expires_after[seconds]": "60"}},
        422,
        "expires_after[seconds]",
    ),
    (
        {"files": UPLOAD, "data": {"expires_after[anchor]": "birth", "expires_after[seconds]": "3600"}},
        422,
        "expires_after[anchor]",
    ),
]


async def test_invalid_uploads_are_refused_by_name(http: httpx.AsyncClient) -> None:
    for body, status, param in BAD_UPLOADS:
        assert error_of(await http.post("/v1/files", **body))[0::2] == (status, param), body


async def test_a_file_that_no_parser_reads_is_refused_before_it_is_stored(http: httpx.AsyncClient) -> None:
    gif = b"GIF89a\1\0\1\0"
    stored = (await http.post("/v1/files", files={"file": ("a.md", b"alpha")})).json()

    refusals = [
        await http.post("/v1/files", files={"file": ("a.txt", gif)}),
        await http.put(f"/v1/files/{stored['id']}/content", content=gif),
    ]

    assert [error_of(refusal) for refusal in refusals] == [(422, "unreadable_document", None)] * 2
    assert "a GIF image; supported are" in refusals[0].json()["error"]["message"]
    assert [file["id"] for file in (await http.get("/v1/files")).json()["data"]] == [stored["id"]]


async def test_invalid_list_calls_are_refused_by_name(http: httpx.AsyncClient) -> None:
    for query, param in (("limit=0", "limit"), ("limit=10001", "limit"), ("order=up", "order"), ("after=x", "after")):
        assert error_of(await http.get(f"/v1/files?{query}")) == (422, "invalid_request", param), query


async def test_invalid_versions_are_refused(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    uploaded = await client.files.create(file=("a.md", b"alpha"), purpose="assistants")
    bodies: list[tuple[dict[str, Any], int, str]] = [
        ({"content": b""}, 422, "file"),
        ({"content": b"x" * (MAX_UPLOAD_BYTES + 1)}, 413, "file"),
        ({"files": {"other": ("a.md", b"alpha")}}, 422, "other"),
    ]

    for body, status, param in bodies:
        response = await http.put(f"/v1/files/{uploaded.id}/content", **body)
        assert error_of(response)[0::2] == (status, param), body
    assert await client.files.retrieve(uploaded.id) == uploaded


async def test_an_unknown_file_is_not_found(http: httpx.AsyncClient) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/content"), ("PUT", "/content"), ("GET", "/text")):
        response = await http.request(method, f"/v1/files/file-none{path}")
        assert error_of(response) == (404, "not_found", None)
