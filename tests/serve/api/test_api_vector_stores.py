"""/v1/vector_stores with OpenAI's own client: create, describe, list, change, expire, delete."""

from typing import Any

import httpx
import openai
import pytest

from tests.serve.api.api_samples import Clock, error_of, ingest_file

DAY_S = 24 * 3600


async def test_a_store_has_all_of_openais_fields(client: openai.AsyncOpenAI) -> None:
    file = await client.files.create(file=("a.md", b"alpha beta"), purpose="assistants")
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 10}}

    created = await client.vector_stores.create(
        name="notes",
        file_ids=[file.id],
        chunking_strategy=strategy,
        metadata={"team": "north"},
        expires_after={"anchor": "last_active_at", "days": 7},
    )
    attached = await client.vector_stores.files.poll(file.id, vector_store_id=created.id, poll_interval_ms=10)
    store = await client.vector_stores.retrieve(created.id)

    assert (created.name, created.metadata, created.expires_after.days) == ("notes", {"team": "north"}, 7)
    assert created.expires_at == created.last_active_at + 7 * DAY_S
    assert (created.status, created.file_counts.in_progress, created.file_counts.total) == ("in_progress", 1, 1)
    assert attached.chunking_strategy.static.max_chunk_size_tokens == 100
    assert (store.status, store.file_counts.completed) == ("completed", 1)
    assert store.usage_bytes > len(b"alpha beta")


async def test_a_store_names_its_searched_generation(client: openai.AsyncOpenAI) -> None:
    empty = await client.vector_stores.create(name="empty")
    await ingest_file(client, "a.md", b"alpha", empty.id)

    filled = await client.vector_stores.retrieve(empty.id)

    assert empty.index == {"generation": None, "building": None}
    assert filled.index["generation"].startswith("hashing")
    assert filled.index["building"] is None


async def test_no_store_is_created_with_an_unknown_file(client: openai.AsyncOpenAI) -> None:
    file = await client.files.create(file=("a.md", b"alpha"), purpose="assistants")

    with pytest.raises(openai.NotFoundError, match="file-none"):
        await client.vector_stores.create(name="notes", file_ids=[file.id, "file-none"])

    assert [store.id async for store in client.vector_stores.list()] == ["default"]


async def test_a_change_sets_the_named_fields_and_null_clears_them(client: openai.AsyncOpenAI) -> None:
    created = await client.vector_stores.create(
        name="notes", metadata={"team": "north"}, expires_after={"anchor": "last_active_at", "days": 7}
    )

    renamed = await client.vector_stores.update(created.id, name="letters")
    cleared = await client.vector_stores.update(created.id, metadata=None, expires_after=None)

    assert (renamed.name, renamed.metadata, renamed.expires_after.days) == ("letters", {"team": "north"}, 7)
    assert (cleared.name, cleared.metadata, cleared.expires_after, cleared.expires_at) == ("letters", {}, None, None)


async def test_lists_are_paged_forwards_and_backwards(client: openai.AsyncOpenAI) -> None:
    ids = [(await client.vector_stores.create(name=str(number))).id for number in range(5)]

    forwards = [store.id async for store in client.vector_stores.list(limit=2, order="asc") if store.id != "default"]
    before_last = await client.vector_stores.list(before=ids[4], limit=2, order="asc")
    before_second = await client.vector_stores.list(before=ids[1], limit=2, order="desc")

    assert forwards == ids
    assert ([store.id for store in before_last.data], before_last.has_more) == (ids[2:4], True)
    assert [store.id for store in before_second.data] == [ids[3], ids[2]]


async def test_an_expired_store_is_refused(client: openai.AsyncOpenAI, clock: Clock) -> None:
    created = await client.vector_stores.create(name="notes", expires_after={"anchor": "last_active_at", "days": 1})
    await ingest_file(client, "a.md", b"alpha", created.id)

    clock.ahead_s = 2 * DAY_S

    assert (await client.vector_stores.retrieve(created.id)).status == "expired"
    with pytest.raises(openai.ConflictError, match="expired"):
        await client.vector_stores.search(created.id, query="alpha")
    with pytest.raises(openai.ConflictError, match="expired"):
        await client.chat.completions.create(
            model="ragserve",
            messages=[{"role": "user", "content": "alpha?"}],
            tools=[{"type": "file_search", "vector_store_ids": [created.id]}],
        )


async def test_a_search_keeps_a_store_from_expiring(client: openai.AsyncOpenAI, clock: Clock) -> None:
    created = await client.vector_stores.create(name="notes", expires_after={"anchor": "last_active_at", "days": 1})

    clock.ahead_s = 0.9 * DAY_S
    await client.vector_stores.search(created.id, query="alpha")
    clock.ahead_s = 1.8 * DAY_S

    assert (await client.vector_stores.retrieve(created.id)).status == "completed"


async def test_a_deleted_store_is_not_found_and_the_default_store_is_emptied(client: openai.AsyncOpenAI) -> None:
    created = await client.vector_stores.create(name="notes")
    file_id = await ingest_file(client, "a.md", b"alpha", "default")

    assert (await client.vector_stores.delete(created.id)).deleted
    assert (await client.vector_stores.delete("default")).deleted

    with pytest.raises(openai.NotFoundError):
        await client.vector_stores.retrieve(created.id)
    assert (await client.vector_stores.retrieve("default")).file_counts.total == 0
    assert (await client.vector_stores.search("default", query="alpha")).data == []
    assert (await client.files.retrieve(file_id)).id == file_id


BAD_STORES: list[tuple[dict[str, Any], str]] = [
    ({"name": "x" * 257}, "name"),
    ({"name": 7}, "name"),
    ({"description": "words"}, "description"),
    ({"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after.days"),
    ({"expires_after": {"anchor": "last_active_at", "days": 366}}, "expires_after.days"),
    ({"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
    ({"expires_after": {"anchor": "last_active_at"}}, "expires_after.days"),
    ({"metadata": {str(number): "x" for number in range(17)}}, "metadata"),
    ({"metadata": {"k" * 65: "x"}}, "metadata"),
    ({"metadata": {"k": "x" * 513}}, "metadata"),
    ({"metadata": {"k": 1}}, "metadata.k"),
    ({"file_ids": [""]}, "file_ids.0"),
    ({"file_ids": ["f"] * 501}, "file_ids"),
    ({"chunking_strategy": {"type": "psychic"}}, "chunking_strategy.type"),
    ({"chunking_strategy": {"type": "static"}}, "chunking_strategy.static"),
]


async def test_invalid_stores_are_refused_by_name(http: httpx.AsyncClient) -> None:
    for body, param in BAD_STORES:
        assert error_of(await http.post("/v1/vector_stores", json=body)) == (422, "invalid_request", param), body
    assert [store["id"] for store in (await http.get("/v1/vector_stores")).json()["data"]] == ["default"]


async def test_invalid_list_calls_are_refused_by_name(http: httpx.AsyncClient) -> None:
    calls = [
        ("limit=101", "limit"),
        ("after=vs_none", "after"),
        ("before=vs_none", "before"),
        ("after=a&before=b", "before"),
    ]

    for query, param in calls:
        assert error_of(await http.get(f"/v1/vector_stores?{query}")) == (422, "invalid_request", param), query


async def test_an_unknown_store_is_not_found(http: httpx.AsyncClient) -> None:
    calls = [("GET", None), ("POST", {"name": "x"}), ("DELETE", None)]

    errors = [error_of(await http.request(method, "/v1/vector_stores/vs_none", json=body)) for method, body in calls]

    assert errors == [(404, "not_found", None)] * 3
