"""Limits of what tenants store: until it is deleted, while it is stored, and what they cost the database."""

import asyncio
import threading
from pathlib import Path

import pytest

from models.errors.limits import StorageQuotaError
from serve.access.limits import LimitsConfig
from serve.access.stored_limits import StoredLimits
from serve.settings import Settings
from tests.patience import PATIENCE_S
from tests.serve.api.api_samples import error_of
from tests.serve.api.response_samples import serving


def upload(name: str, num_bytes: int = 10) -> dict[str, tuple[str, bytes]]:
    return {"file": (f"{name}.md", name[:1].encode() * num_bytes)}


async def test_what_a_tenant_stores_is_limited_until_it_deletes(tmp_path: Path) -> None:
    settings = Settings.model_validate({"limits": {"tenants": {"default": {"stored_files": 2, "stored_bytes": 100}}}})
    async with serving(tmp_path, settings, is_new=False) as service, service.http() as http:
        first, second = [(await http.post("/v1/files", files=upload(name, 30))).json()["id"] for name in "ab"]
        third = await http.post("/v1/files", files=upload("c"))
        larger = await http.put(f"/v1/files/{first}/content", content=b"a" * 71)
        fitting = await http.put(f"/v1/files/{first}/content", content=b"a" * 70)
        smaller = await http.put(f"/v1/files/{first}/content", content=b"a" * 10)
        await http.delete(f"/v1/files/{second}")
        again = await http.post("/v1/files", files=upload("c"))

    assert error_of(third) == error_of(larger) == (507, "storage_quota_exceeded", None)
    assert third.headers["x-should-retry"] == "false"
    assert "2 stored files" in third.json()["error"]["message"]
    assert "100 stored bytes" in larger.json()["error"]["message"]
    assert [each.status_code for each in (fitting, smaller, again)] == [200] * 3


async def test_uploads_that_are_being_stored_count() -> None:
    config = LimitsConfig.model_validate({"each_tenant": {"stored_files": 2}})
    stored = StoredLimits(lambda: config, lambda tenant: (0, 0))

    async with stored.storing("acme", 1, 10), stored.storing("acme", 1, 10), stored.storing("globex", 1, 10):
        with pytest.raises(StorageQuotaError, match="tenant acme would go beyond its limit of 2 stored files"):
            async with stored.storing("acme", 1, 10):
                raise AssertionError("it was stored")
    async with stored.storing("acme", 1, 10):  # nothing of it arrived in the database
        pass


async def test_uploads_that_are_refused_at_once_share_a_read() -> None:
    config = LimitsConfig.model_validate({"each_tenant": {"stored_files": 1}})
    may_end, num_reads = threading.Event(), [0]

    def read(tenant: str) -> tuple[int, int]:
        num_reads[0] += 1
        assert may_end.wait(PATIENCE_S)
        return 1, 10

    async def store() -> None:
        async with stored.storing("acme", 1, 10):
            raise AssertionError("it was stored")

    stored = StoredLimits(lambda: config, read)
    uploads = [asyncio.create_task(store()) for _ in range(40)]
    await asyncio.sleep(0)  # all have come
    may_end.set()
    await asyncio.wait(uploads)

    assert {type(upload.exception()) for upload in uploads} == {StorageQuotaError}
    assert num_reads == [2]  # of the first, and of those that came while it read


async def test_an_upload_that_completes_during_a_read_counts() -> None:
    config = LimitsConfig.model_validate({"each_tenant": {"stored_files": 2}})
    rows, now = [0], [0.0]
    is_read, is_complete = threading.Event(), threading.Event()

    def read(tenant: str) -> tuple[int, int]:
        num_files = rows[0]
        if now[0] and not is_read.is_set():  # the second read sees nothing, and returns when the upload is complete
            is_read.set()
            assert is_complete.wait(PATIENCE_S)
        return num_files, num_files

    stored = StoredLimits(lambda: config, read, clock=lambda: now[0])
    second = stored.storing("acme", 1, 10)
    async with stored.storing("acme", 1, 10):
        now[0] = 1000.0
        reading = asyncio.create_task(second.__aenter__())
        assert await asyncio.to_thread(is_read.wait, PATIENCE_S)
        rows[0] = 1
    is_complete.set()
    await reading
    with pytest.raises(StorageQuotaError):
        async with stored.storing("acme", 1, 10):
            raise AssertionError("it was stored")
    await second.__aexit__(None, None, None)
