"""Delete and update by filter over HTTP: counted first, of one tenant's store alone, and at once in searches."""

from typing import Any

import httpx
import openai
import pytest

from serve.cli.files.conditions import to_attributes, to_filter
from tests.serve.api.api_samples import error_of, ingest_file

DELETE, UPDATE = "/v1/vector_stores/default/delete_by_filter", "/v1/vector_stores/default/update_by_filter"
OLD = {"type": "lt", "key": "year", "value": 2020}


@pytest.fixture
async def ids(client: openai.AsyncOpenAI) -> list[str]:
    """Files of 2018 to 2021, and one without attributes."""
    files = [
        await ingest_file(client, f"{year}.md", f"tide of {year}".encode(), "default", attributes={"year": year})
        for year in range(2018, 2022)
    ]
    return [*files, await ingest_file(client, "plain.md", b"tide of ever", "default")]


async def names(http: httpx.AsyncClient, filters: dict[str, Any] | None = None) -> list[str]:
    search = {"query": "tide"} | ({"filters": filters} if filters else {})
    hits = (await http.post("/v1/vector_stores/default/search", json=search)).json()["data"]
    return sorted(hit["filename"] for hit in hits)


async def test_a_dry_run_counts_and_changes_nothing(http: httpx.AsyncClient, ids: list[str]) -> None:
    counted = (await http.post(DELETE, json={"filters": OLD, "dry_run": True})).json()
    updated = (await http.post(UPDATE, json={"filters": OLD, "attributes": {"a": 1}, "dry_run": True})).json()

    assert counted == {
        "object": "vector_store.files.deleted",
        "vector_store_id": "default",
        "num_files": 2,
        "dry_run": True,
    }
    assert (updated["object"], updated["num_files"]) == ("vector_store.files.updated", 2)
    assert len(await names(http)) == len(ids)
    assert await names(http, {"type": "eq", "key": "a", "value": 1}) == []


async def test_deleted_files_leave_the_search_and_stay_uploaded(
    http: httpx.AsyncClient, client: openai.AsyncOpenAI, ids: list[str]
) -> None:
    deleted = (await http.post(DELETE, json={"filters": OLD})).json()

    assert deleted["num_files"] == 2
    assert await names(http) == ["2020.md", "2021.md", "plain.md"]
    assert (await client.files.retrieve(ids[0])).filename == "2018.md"
    assert (await http.post(DELETE, json={"filters": OLD})).json()["num_files"] == 0


async def test_attributes_are_added_replaced_and_removed(
    http: httpx.AsyncClient, client: openai.AsyncOpenAI, ids: list[str]
) -> None:
    changes = {"attributes": {"year": None, "era": "old", "draft": False}}

    assert (await http.post(UPDATE, json={"filters": OLD} | changes)).json()["num_files"] == 2

    file = await client.vector_stores.files.retrieve(ids[1], vector_store_id="default")
    assert file.attributes == {"era": "old", "draft": False}
    assert file.status == "completed"
    assert await names(http, {"type": "eq", "key": "era", "value": "old"}) == ["2018.md", "2019.md"]


async def test_files_are_cut_anew_by_another_strategy(
    http: httpx.AsyncClient, client: openai.AsyncOpenAI, ids: list[str]
) -> None:
    body = {"filters": OLD, "chunking_strategy": {"type": "sentence_window"}}

    assert (await http.post(UPDATE, json=body)).json()["num_files"] == 2

    file = await client.vector_stores.files.poll(ids[0], vector_store_id="default", poll_interval_ms=10)
    other = await client.vector_stores.files.retrieve(ids[2], vector_store_id="default")
    assert (file.chunking_strategy.type, other.chunking_strategy.type) == ("sentence_window", "other")
    assert file.attributes == {"year": 2018}
    assert "2018.md" in await names(http)


async def test_nothing_changes_if_one_file_would_get_too_many_attributes(
    http: httpx.AsyncClient, client: openai.AsyncOpenAI, ids: list[str]
) -> None:
    full = {str(number): number for number in range(16)}
    await client.vector_stores.files.update(ids[4], vector_store_id="default", attributes=full)
    everything = {"type": "ne", "key": "no such key", "value": 1}

    refused = await http.post(UPDATE, json={"filters": everything, "attributes": {"one": "more"}})

    assert error_of(refused) == (422, "invalid_request", "attributes")
    assert await names(http, {"type": "eq", "key": "one", "value": "more"}) == []


BAD_CALLS: list[tuple[str, dict[str, Any], str]] = [
    (DELETE, {}, "filters"),
    (DELETE, {"filters": None}, "filters"),
    (DELETE, {"filters": {"type": "and", "filters": []}}, "filters.filters"),
    (DELETE, {"filters": OLD, "attributes": {"a": 1}}, "attributes"),
    (DELETE, {"filters": {"type": "in", "key": "year", "value": 1}}, "filters"),
    (UPDATE, {"filters": OLD}, "attributes"),
    (UPDATE, {"filters": OLD, "attributes": {"": 1}}, "attributes"),
    (UPDATE, {"filters": OLD, "attributes": {"a": "x" * 513}}, "attributes"),
    (UPDATE, {"filters": OLD, "chunking_strategy": {"type": "psychic"}}, "chunking_strategy.type"),
]


async def test_invalid_calls_are_refused_by_name(http: httpx.AsyncClient, ids: list[str]) -> None:
    for path, body, param in BAD_CALLS:
        assert error_of(await http.post(path, json=body)) == (422, "invalid_request", param), body
    assert len(await names(http)) == len(ids)


async def test_an_empty_default_store_has_nothing_to_delete(http: httpx.AsyncClient) -> None:
    assert (await http.post(DELETE, json={"filters": OLD})).json()["num_files"] == 0


async def test_conditions_of_the_command_line_are_filters_of_the_api(http: httpx.AsyncClient, ids: list[str]) -> None:
    filters = to_filter(["year>=2019", "year!=2020"], '{"type": "lt", "key": "year", "value": 2022}')

    await http.post(UPDATE, json={"filters": filters, "attributes": to_attributes(["era=new times"], [])})

    assert await names(http, {"type": "eq", "key": "era", "value": "new times"}) == ["2019.md", "2021.md"]
