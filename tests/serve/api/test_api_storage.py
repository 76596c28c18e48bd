"""What clients get while nothing can be written: reads and deletes go on, writes say what to do."""

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import openai
import pytest
from sqlalchemy import event

from models.corpus.writer_turns import MAX_PATIENT, WriterTurns
from serve.http_app import BLOCKING_THREADS
from tests.damage import damage
from tests.patience import PATIENCE_S
from tests.serve.api.api_samples import Running


@contextmanager
def on_connect(service: Running, *pragmas: str) -> Iterator[None]:
    engine = service.corpus.database._engine

    def prepare(connection: sqlite3.Connection, *_: object) -> None:
        for pragma in pragmas:
            connection.execute(pragma)

    engine.dispose()
    event.listen(engine, "connect", prepare)
    yield
    event.remove(engine, "connect", prepare)
    engine.dispose()


async def upload(http: httpx.AsyncClient, name: str) -> httpx.Response:
    return await http.post(
        "/v1/files", files={"file": (name, b"text of " + name.encode())}, data={"purpose": "assistants"}
    )


async def fill(http: httpx.AsyncClient) -> httpx.Response:
    """Upload files until one is refused, and return the refusal."""
    for number in range(1_000):
        response = await upload(http, f"{number}-{'x' * 150}.txt")
        if response.status_code != 200:
            return response
    raise AssertionError("the database is never full")


async def test_a_full_disk_is_a_507_with_the_time_to_retry_until_a_delete_makes_room(
    service: Running, http: httpx.AsyncClient
) -> None:
    first_id = (await upload(http, "first.txt")).json()["id"]

    with on_connect(service, "PRAGMA max_page_count=1"):  # no page more than there are
        full = await fill(http)
        assert (full.status_code, full.headers["retry-after"]) == (507, "30")
        assert full.json()["error"]["code"] == "storage_full"
        assert full.json()["error"]["type"] == "server_error"

        assert (await http.get(f"/v1/files/{first_id}/content")).status_code == 200
        assert (await http.post("/v1/query", json={"query": "What is first?"})).status_code == 200
        for file in (await http.get("/v1/files?limit=8")).json()["data"]:
            assert (await http.delete(f"/v1/files/{file['id']}")).status_code == 200
        assert (await upload(http, "again.txt")).status_code == 200


async def test_a_read_only_database_is_a_503_that_openais_client_knows(
    service: Running, client: openai.AsyncOpenAI, http: httpx.AsyncClient
) -> None:
    await upload(http, "first.txt")

    with on_connect(service, "PRAGMA query_only=ON"):
        with pytest.raises(openai.InternalServerError) as refused:
            await client.files.create(file=("second.txt", b"second"), purpose="assistants")
        assert (refused.value.status_code, refused.value.code) == (503, "database_unavailable")
        assert refused.value.response.headers["retry-after"] == "5"
        assert len((await client.files.list()).data) == 1
        assert (await http.get("/healthz")).status_code == 200


async def test_a_damaged_database_is_a_typed_503_and_a_problem_and_questions_go_on(
    service: Running, http: httpx.AsyncClient
) -> None:
    await upload(http, "first.txt")
    engine = service.corpus.database._engine
    engine.dispose()
    damage(Path(str(engine.url.database)), "files")

    refused, listed = await upload(http, "second.txt"), await http.get("/v1/files")

    assert {response.status_code for response in (refused, listed)} == {503}
    assert {response.json()["error"]["code"] for response in (refused, listed)} == {"database_damaged"}
    assert service.corpus.database.problems() == ["database: it is damaged; restore it from a backup"]
    assert (await http.post("/v1/query", json={"query": "What is first?"})).status_code == 200


@contextmanager
def locked(service: Running) -> Iterator[sqlite3.Connection]:
    """Another process' write transaction, until it is rolled back."""
    with closing(sqlite3.connect(str(service.corpus.database._engine.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


async def test_a_database_that_another_process_keeps_locked_is_a_503_and_reads_go_on(
    service: Running, http: httpx.AsyncClient
) -> None:
    await upload(http, "first.txt")

    with on_connect(service, "PRAGMA busy_timeout=1"), locked(service):
        refused = await upload(http, "second.txt")
        listed = await http.get("/v1/files")

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert refused.json()["error"]["code"] == "database_unavailable"
    assert len(listed.json()["data"]) == 1
    async with asyncio.timeout(PATIENCE_S):  # on a slow machine its breaker may have opened, for two seconds
        while (await upload(http, "second.txt")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_write_that_waits_for_the_database_keeps_no_probe_waiting(
    service: Running, http: httpx.AsyncClient
) -> None:
    with on_connect(service, f"PRAGMA busy_timeout={PATIENCE_S * 1000:.0f}"), locked(service) as other:
        waiting = asyncio.create_task(upload(http, "first.txt"))

        assert (await http.get("/healthz")).status_code == 200  # if it waited for the write, neither would ever end
        other.execute("ROLLBACK")

        assert (await waiting).status_code == 200


async def test_writes_that_wait_for_a_lock_leave_threads_to_questions(
    service: Running, http: httpx.AsyncClient
) -> None:
    await upload(http, "first.txt")
    service.corpus.database._turns = WriterTurns(1, PATIENCE_S)

    with on_connect(service, f"PRAGMA busy_timeout={PATIENCE_S * 1000:.0f}"), locked(service) as other:
        waiting = [asyncio.create_task(http.post("/v1/conversations", json={})) for _ in range(BLOCKING_THREADS + 8)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        answered = await http.post("/v1/query", json={"query": "What is first?"})  # waits for no write
        are_done = [each.done() for each in waiting]
        other.execute("ROLLBACK")
        statuses = [(await each).status_code for each in waiting]

    assert answered.status_code == 200
    assert are_done.count(False) >= MAX_PATIENT // 2
    assert sorted(set(statuses)) == [200, 503]


async def test_storage_of_uploads_that_hangs_keeps_no_thread_from_questions(
    service: Running, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    file = (await upload(http, "first.txt")).json()
    (blob,) = [path for path in service.corpus.files.blobs.root.glob("*/*") if path.is_file()]
    pipe, content = tmp_path / "pipe", tmp_path / "content"
    os.mkfifo(pipe)
    blob.rename(content)
    os.link(pipe, blob)  # who opens it waits for a writer

    reading = [asyncio.create_task(http.get(f"/v1/files/{file['id']}/content")) for _ in range(2 * BLOCKING_THREADS)]
    for _ in range(500):  # until all of them have come to the file
        await asyncio.sleep(0)
    try:
        async with asyncio.timeout(PATIENCE_S):
            answered = await http.post("/v1/query", json={"query": "What is first?"})
        are_done = any(each.done() for each in reading)
    finally:
        os.replace(content, blob)  # for those that have not begun
        while not all(each.done() for each in reading):
            os.close(os.open(pipe, os.O_RDWR))
            await asyncio.sleep(0.01)
    statuses = {each.result().status_code for each in reading}

    assert answered.status_code == 200
    assert not are_done
    assert statuses == {200}
