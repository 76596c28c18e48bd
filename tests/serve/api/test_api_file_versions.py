"""The way back to an earlier version of a file, over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from api_samples import Clock, Running, error_of, ingest_file, running

from tests.patience import PATIENCE_S

STORE = "default"


@pytest.fixture
async def service(tmp_path: Path, clock: Clock) -> AsyncIterator[Running]:
    async with running(tmp_path, clock, keep_versions=3) as started:
        yield started


async def searched(http: httpx.AsyncClient, text: str) -> list[str]:
    """The file's text as it is searched, once it has `text`."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            response = await http.post(f"/v1/vector_stores/{STORE}/search", json={"query": "How hot is the oven?"})
            texts = [hit["content"][0]["text"] for hit in response.json()["data"]]
            if any(text in each for each in texts):
                return texts
            await asyncio.sleep(0.01)


async def test_a_file_goes_back_to_an_earlier_version(service: Running) -> None:
    async with service.http() as http:
        client = service.openai_client("unused")
        file_id = await ingest_file(client, "oven.md", b"The oven heats to 250 degrees.\n", STORE)
        url = f"/v1/files/{file_id}"
        await http.put(f"{url}/content", params={"filename": "new.md"}, content=b"The oven heats to 90 degrees.\n")
        changed = await searched(http, "90 degrees")

        listed = (await http.get(f"{url}/versions")).json()
        first = await http.get(f"{url}/versions/1/content")
        restored = (await http.post(f"{url}/versions/1/restore")).json()
        again = await searched(http, "250 degrees")

        assert [(each["version"], each["filename"]) for each in listed["data"]] == [(2, "new.md"), (1, "oven.md")]
        assert (listed["data"][0]["replaced_at"], listed["has_more"]) == (None, False)
        assert first.content == b"The oven heats to 250 degrees.\n"
        assert first.headers["content-disposition"] == "attachment"
        assert (restored["id"], restored["version"], restored["filename"]) == (file_id, 3, "oven.md")
        assert not any("250" in text for text in changed)
        assert not any("90 degrees" in text for text in again)
        assert (await http.get(f"{url}/content")).content == first.content


async def test_a_version_that_is_not_kept_is_a_404(service: Running) -> None:
    async with service.http() as http:
        stored = await http.post("/v1/files", files={"file": ("a.md", b"alpha")}, data={"purpose": "assistants"})
        url = f"/v1/files/{stored.json()['id']}/versions"

        newest = await http.post(f"{url}/1/restore")
        unknown = await http.get(f"{url}/7/content")
        zero = await http.get(f"{url}/0/content")
        huge = await http.get(f"{url}/{10**30}/content")
        file = await http.get("/v1/files/file-none/versions")

    assert [error_of(each)[:2] for each in (newest, unknown, file)] == [(404, "not_found")] * 3
    assert [each.status_code for each in (zero, huge)] == [422, 422]


async def test_a_deleted_file_has_no_versions(service: Running) -> None:
    async with service.http() as http:
        stored = await http.post("/v1/files", files={"file": ("a.md", b"alpha")}, data={"purpose": "assistants"})
        url = f"/v1/files/{stored.json()['id']}"
        await http.put(f"{url}/content", content=b"beta")
        await http.delete(url)

        responses = [await http.get(f"{url}/versions"), await http.get(f"{url}/versions/1/content")]

    assert [response.status_code for response in responses] == [404, 404]
