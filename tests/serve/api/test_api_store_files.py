"""Files in a vector store with OpenAI's own client: singly and in batches."""

from typing import Any

import httpx
import openai
import pytest

from tests.serve.api.api_samples import error_of, ingest_file

LONG = b"".join(b"Sentence number %d stands here alone. " % number for number in range(60))


async def test_a_file_is_uploaded_and_searchable_in_one_call(client: openai.AsyncOpenAI) -> None:
    attached = await client.vector_stores.files.upload_and_poll(
        vector_store_id="default", file=("a.md", b"alpha"), attributes={"year": 2024, "draft": True, "tag": "x"}
    )

    assert attached.status == "completed"
    assert attached.attributes == {"year": 2024, "draft": True, "tag": "x"}
    assert (await client.vector_stores.search("default", query="alpha")).data[0].file_id == attached.id


async def test_attributes_are_replaced_and_cleared(client: openai.AsyncOpenAI) -> None:
    file_id = await ingest_file(client, "a.md", b"alpha", "default", attributes={"year": 2024, "tag": "x"})
    files = client.vector_stores.files

    replaced = await files.update(file_id, vector_store_id="default", attributes={"year": 2025})
    results = await client.vector_stores.search("default", query="alpha")
    cleared = await files.update(file_id, vector_store_id="default", attributes=None)

    assert replaced.attributes == results.data[0].attributes == {"year": 2025}
    assert (replaced.status, cleared.attributes) == ("completed", {})


async def test_the_content_is_the_chunks_in_order(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    file_id = await ingest_file(client, "long.md", LONG, "default")

    contents = [content async for content in client.vector_stores.files.content(file_id, vector_store_id="default")]
    text = (await http.get(f"/v1/files/{file_id}/text")).text

    assert len(contents) > 2
    assert {content.type for content in contents} == {"text"}
    assert [content.text for content in contents] == [text[content.start : content.end] for content in contents]
    starts = [content.start for content in contents]
    assert starts == sorted(starts)


async def test_a_file_says_what_its_text_lacks_and_why_it_may_be_wrong(client: openai.AsyncOpenAI) -> None:
    page = b"<p>The tide comes.</p><p hidden>secret</p><p hidden>secret</p>"
    hidden = await ingest_file(client, "tide.html", page, "default")
    guessed = await ingest_file(client, "na.txt", "naïve".encode("cp1252"), "default")
    plain = await ingest_file(client, "a.md", b"alpha", "default")
    unread = await client.vector_stores.files.upload_and_poll(vector_store_id="default", file=("b.pdf", b"%PDF-1.7 no"))

    reports = {file.id: file.parse_report async for file in client.vector_stores.files.list("default")}

    assert reports[hidden] == {"omissions": {"hidden passages": 2}, "warnings": [], "masked": {}}
    assert reports[plain] == {"omissions": {}, "warnings": [], "masked": {}}
    assert reports[unread.id] is None
    (warning,) = reports[guessed]["warnings"]
    assert "may be wrong: cp1252" in warning
    file = await client.vector_stores.files.retrieve(guessed, vector_store_id="default")
    assert file.parse_report == reports[guessed]


async def test_files_are_listed_by_status(client: openai.AsyncOpenAI) -> None:
    good = await ingest_file(client, "a.md", b"alpha", "default")
    bad = await client.vector_stores.files.upload_and_poll(vector_store_id="default", file=("b.pdf", b"%PDF-1.7 no"))

    async def listed(status: str) -> list[str]:
        return [file.id async for file in client.vector_stores.files.list("default", filter=status)]

    assert (bad.status, bad.last_error.code) == ("failed", "invalid_file")
    assert await listed("completed") == [good]
    assert await listed("failed") == [bad.id]
    assert await listed("cancelled") == []


async def test_a_detached_file_leaves_the_search_and_stays_stored(client: openai.AsyncOpenAI) -> None:
    file_id = await ingest_file(client, "a.md", b"alpha", "default")

    assert (await client.vector_stores.files.delete(file_id, vector_store_id="default")).deleted

    assert (await client.vector_stores.search("default", query="alpha")).data == []
    assert (await client.files.retrieve(file_id)).id == file_id
    with pytest.raises(openai.NotFoundError):
        await client.vector_stores.files.retrieve(file_id, vector_store_id="default")


async def test_a_batch_is_uploaded_ingested_and_listed(client: openai.AsyncOpenAI) -> None:
    batches = client.vector_stores.file_batches
    contents = [(f"{number}.md", f"note number {number}".encode()) for number in range(3)]

    batch = await batches.upload_and_poll("default", files=[*contents, ("bad.pdf", b"%PDF-1.7 no")])

    assert (batch.status, batch.object) == ("completed", "vector_store.files_batch")
    assert (batch.file_counts.completed, batch.file_counts.failed, batch.file_counts.total) == (3, 1, 4)
    assert await batches.retrieve(batch.id, vector_store_id="default") == batch
    listed = [file async for file in batches.list_files(batch.id, vector_store_id="default", limit=2)]
    failed = [file async for file in batches.list_files(batch.id, vector_store_id="default", filter="failed")]
    assert len({file.id for file in listed}) == 4
    assert [file.last_error.code for file in failed] == ["invalid_file"]


async def test_each_file_of_a_batch_may_have_attributes_and_chunking_of_its_own(client: openai.AsyncOpenAI) -> None:
    ids = [(await client.files.create(file=(name, LONG), purpose="assistants")).id for name in ("a.md", "b.md")]
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": 120, "chunk_overlap_tokens": 0}}
    files = [
        {"file_id": ids[0], "attributes": {"tag": "a"}},
        {"file_id": ids[1], "attributes": {"tag": "b"}, "chunking_strategy": strategy},
    ]

    batch = await client.vector_stores.file_batches.create("default", files=files)
    done = await client.vector_stores.file_batches.poll(batch.id, vector_store_id="default")

    first, second = [await client.vector_stores.files.retrieve(file_id, vector_store_id="default") for file_id in ids]
    assert done.file_counts.completed == 2
    assert (first.attributes, first.chunking_strategy.type) == ({"tag": "a"}, "other")
    assert (second.attributes, second.chunking_strategy.static.max_chunk_size_tokens) == ({"tag": "b"}, 120)


async def test_a_batch_is_added_in_full_or_not_at_all(client: openai.AsyncOpenAI) -> None:
    file = await client.files.create(file=("a.md", b"alpha"), purpose="assistants")

    with pytest.raises(openai.NotFoundError, match="file-none"):
        await client.vector_stores.file_batches.create("default", file_ids=[file.id, "file-none"])

    assert (await client.vector_stores.retrieve("default")).file_counts.total == 0


async def test_cancelling_a_batch_ends_its_files_in_progress(client: openai.AsyncOpenAI) -> None:
    # More files than the service can ingest between the two calls.
    ids = [
        (await client.files.create(file=(f"{number}.md", b"%d " % number + LONG), purpose="assistants")).id
        for number in range(40)
    ]

    batch = await client.vector_stores.file_batches.create("default", file_ids=ids)
    cancelled = await client.vector_stores.file_batches.cancel(batch.id, vector_store_id="default")

    assert cancelled.status == "cancelled"
    assert cancelled.file_counts.in_progress == 0
    assert cancelled.file_counts.cancelled > 0
    store = await client.vector_stores.retrieve("default")
    assert store.file_counts.to_dict() == cancelled.file_counts.to_dict()


BAD_ATTACHMENTS: list[tuple[dict[str, Any], str]] = [
    ({"file_id": ""}, "file_id"),
    ({"attributes": {"a": [1]}}, "attributes.a"),
    ({"attributes": {"a": "x" * 513}}, "attributes"),
    ({"attributes": {"a" * 65: 1}}, "attributes"),
    ({"attributes": {str(number): 1 for number in range(17)}}, "attributes"),
    ({"colour": "red"}, "colour"),
]
BAD_CHUNKINGS: list[tuple[dict[str, Any], str]] = [
    ({"chunking_strategy": {"type": "static", "static": static}}, f"chunking_strategy.static.{param}")
    for static, param in [
        ({"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0}, "max_chunk_size_tokens"),
        ({"max_chunk_size_tokens": 4097, "chunk_overlap_tokens": 0}, "max_chunk_size_tokens"),
        ({"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51}, "chunk_overlap_tokens"),
        ({"max_chunk_size_tokens": 100}, "chunk_overlap_tokens"),
    ]
]


async def test_invalid_attachments_are_refused_by_name(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    file = await client.files.create(file=("a.md", b"alpha"), purpose="assistants")

    for body, param in BAD_ATTACHMENTS + BAD_CHUNKINGS:
        response = await http.post("/v1/vector_stores/default/files", json={"file_id": file.id} | body)
        assert error_of(response) == (422, "invalid_request", param), body
    assert (await client.vector_stores.retrieve("default")).file_counts.total == 0


BAD_BATCHES: list[tuple[dict[str, Any], str | None]] = [
    ({}, None),
    ({"file_ids": []}, "file_ids"),
    ({"file_ids": ["f"] * 501}, "file_ids"),
    ({"file_ids": ["f"], "files": [{"file_id": "f"}]}, None),
    ({"files": [{"file_id": "f"}], "attributes": {"a": 1}}, None),
    ({"files": [{"file": "f"}]}, "files.0.file_id"),
    ({"files": [{"file_id": "f", "attributes": {"a": None}}]}, "files.0.attributes.a"),
]


async def test_invalid_batches_are_refused_by_name(http: httpx.AsyncClient) -> None:
    for body, param in BAD_BATCHES:
        response = await http.post("/v1/vector_stores/default/file_batches", json=body)
        assert error_of(response) == (422, "invalid_request", param), body


async def test_a_file_twice_in_a_batch_is_refused(client: openai.AsyncOpenAI) -> None:
    file = await client.files.create(file=("a.md", b"alpha"), purpose="assistants")

    with pytest.raises(openai.UnprocessableEntityError, match=file.id):
        await client.vector_stores.file_batches.create("default", file_ids=[file.id, file.id])


async def test_unknown_ids_are_not_found(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    file = await client.files.create(file=("a.md", b"alpha"), purpose="assistants")
    store, other = "/v1/vector_stores/default", "/v1/vector_stores/vs_none"
    calls = [
        ("POST", f"{other}/files", {"file_id": file.id}),
        ("GET", f"{other}/files", None),
        ("GET", f"{store}/files/{file.id}", None),
        ("POST", f"{store}/files/{file.id}", {"attributes": {"a": 1}}),
        ("DELETE", f"{store}/files/{file.id}", None),
        ("GET", f"{store}/files/{file.id}/content", None),
        ("POST", f"{other}/file_batches", {"file_ids": [file.id]}),
        ("GET", f"{store}/file_batches/vsfb_none", None),
        ("POST", f"{store}/file_batches/vsfb_none/cancel", None),
        ("GET", f"{store}/file_batches/vsfb_none/files", None),
        ("POST", f"{other}/search", {"query": "alpha"}),
    ]

    for method, path, body in calls:
        assert error_of(await http.request(method, path, json=body)) == (404, "not_found", None), (method, path)


async def test_an_unknown_id_of_a_body_names_its_field(http: httpx.AsyncClient) -> None:
    bodies: list[tuple[str, dict[str, Any], str]] = [
        ("/v1/vector_stores/default/files", {"file_id": "file-none"}, "file_id"),
        ("/v1/vector_stores/default/file_batches", {"file_ids": ["file-none"]}, "file_ids"),
        ("/v1/vector_stores", {"file_ids": ["file-none"]}, "file_ids"),
        ("/v1/query", {"query": "tower", "vector_store_ids": ["vs_none"]}, "vector_store_ids"),
        ("/v1/responses", {"input": "tower", "previous_response_id": "resp_none"}, "previous_response_id"),
        ("/v1/responses", {"input": "tower", "conversation": "conv_none"}, "conversation"),
    ]

    for path, body, param in bodies:
        assert error_of(await http.post(path, json=body)) == (404, "not_found", param), path
