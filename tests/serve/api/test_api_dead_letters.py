"""Dead letters over HTTP: listed, replayed, and never another tenant's."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import openai
import pytest

from serve.access.keys import digest_of
from tests.serve.api.api_samples import Clock, Running, error_of, running

PATH, REPLAY = "/v1/dead_letters", "/v1/dead_letters/replay"


async def fail_files(client: openai.AsyncOpenAI, *names: str, store: str = "default") -> list[str]:
    """Upload broken PDF files and wait until they have failed. Return their ids."""
    uploads = [
        await client.files.create(file=(name, b"%PDF-1.7 " + name.encode()), purpose="assistants") for name in names
    ]
    ids = [upload.id for upload in uploads]
    await client.vector_stores.file_batches.create_and_poll(store, file_ids=ids, poll_interval_ms=10)
    return ids


async def test_a_failed_file_is_a_dead_letter(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    (file_id,) = await fail_files(client, "angebot für café.pdf")

    (letter,) = (await http.get(PATH)).json()["data"]
    file = (await http.get(f"/v1/vector_stores/default/files/{file_id}")).json()

    assert (letter["filename"], letter["file_id"], letter["vector_store_id"]) == (
        "angebot für café.pdf",
        file_id,
        "default",
    )
    assert (letter["reason"], letter["attempts"], letter["last_error"]["code"]) == ("invalid_file", 1, "invalid_file")
    assert {key: file["last_error"][key] for key in ("reason", "attempts", "failed_at")} == {
        key: letter[key] for key in ("reason", "attempts", "failed_at")
    }
    assert file["progress"] is None


async def test_openais_client_pages_through_dead_letters(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    await fail_files(client, "a.pdf", "b.pdf", "c.pdf")

    first = (await http.get(PATH, params={"limit": 2, "reason": "invalid_file"})).json()
    second = (await http.get(PATH, params={"limit": 2, "after": first["last_id"]})).json()

    assert [letter["filename"] for letter in first["data"] + second["data"]] == ["c.pdf", "b.pdf", "a.pdf"]
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert (await http.get(PATH, params={"reason": "too_complex"})).json()["data"] == []


async def test_a_replay_ingests_again_what_is_selected(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    file_id, _ = await fail_files(client, "a.pdf", "b.pdf")
    letter = (await http.get(PATH)).json()["data"][1]

    answer = (await http.post(REPLAY, json={"id": letter["id"]})).json()
    again = await client.vector_stores.files.poll(file_id, vector_store_id="default", poll_interval_ms=10)

    assert answer == {"object": "dead_letter.replay", "replayed": 1}
    assert again.status == "failed"  # it is as broken as before
    assert (await http.post(REPLAY, json={"id": letter["id"], "reason": "too_complex"})).json()["replayed"] == 0


async def test_unknown_ids_are_not_found(http: httpx.AsyncClient) -> None:
    bodies = ({"id": "dl_0"}, {"id": "dl_999999"}, {"id": "é"}, {"vector_store_id": "vs_other"})
    answers = [await http.post(REPLAY, json=body) for body in bodies]
    answers.append(await http.get(PATH, params={"vector_store_id": "vs_other"}))

    assert {error_of(answer)[:2] for answer in answers} == {(404, "not_found")}
    assert answers[0].json()["error"]["message"] == "no dead letter with id 'dl_0'"


@pytest.mark.parametrize("body", [{}, {"reason": "none"}, {"id": ""}, {"all": True}, {"id": None, "reason": None}])
async def test_a_replay_without_a_valid_selection_is_refused(http: httpx.AsyncClient, body: dict[str, object]) -> None:
    assert error_of(await http.post(REPLAY, json=body))[:2] == (422, "invalid_request")


@pytest.mark.parametrize(
    "params", [{"reason": "none"}, {"after": "dl_9"}, {"limit": 101}, {"vector_store_id": "x" * 129}]
)
async def test_a_list_of_dead_letters_refuses_wrong_parameters(http: httpx.AsyncClient, params: dict[str, str]) -> None:
    assert error_of(await http.get(PATH, params=params))[:2] == (422, "invalid_request")


@pytest.fixture
async def two_tenants(tmp_path: Path, clock: Clock) -> AsyncIterator[Running]:
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"a: [{digest_of('key-of-a')}]\nb: [{digest_of('key-of-b')}]\n")
    async with running(tmp_path, clock, keys) as started:
        yield started


async def test_a_tenant_replays_only_its_own_dead_letters(two_tenants: Running) -> None:
    async with two_tenants.openai_client("key-of-a") as client:
        await fail_files(client, "secret.pdf")
    async with two_tenants.http("key-of-a") as of_a, two_tenants.http("key-of-b") as of_b, two_tenants.http() as nobody:
        (letter,) = (await of_a.get(PATH)).json()["data"]

        seen = (await of_b.get(PATH)).json()["data"]
        bodies = ({"vector_store_id": "default"}, {"reason": "invalid_file"})
        replayed = [(await of_b.post(REPLAY, json=body)).json()["replayed"] for body in bodies]
        refused = [await of_b.post(REPLAY, json={"id": letter["id"]}), await nobody.get(PATH)]

    assert (seen, replayed, [answer.status_code for answer in refused]) == ([], [0, 0], [404, 401])
