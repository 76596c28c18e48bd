"""Feedback over HTTP: given by the id of a request, kept of its tenant, and refused with a typed error."""

from typing import Any

import httpx
import openai
import pytest

from tests.serve.api.api_samples import Clock, Running, error_of, ingest_file

PATH = "/v1/feedback"
OVENS = b"# Ovens\n\nThe oven heats to 250 degrees.\n"
QUESTION = "How hot does the oven get?"


async def test_an_answer_is_judged_by_its_id(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    file_id = await ingest_file(client, "ovens.md", OVENS, "default")
    answer = (await http.post("/v1/query", json={"query": QUESTION})).json()

    body = {"id": answer["id"], "rating": "bad", "comment": "250 what?", "query": QUESTION, "answer": "250 °C"}
    given = (await http.post(PATH, json=body | {"file_ids": [file_id, file_id]})).json()

    assert given == body | {"object": "feedback", "created_at": given["created_at"], "file_ids": [file_id]}
    assert (await http.get(f"{PATH}/{answer['id']}")).json() == given


@pytest.mark.parametrize("path", ["chat/completions", "completions", "messages"])
async def test_the_id_of_every_shape_of_answer_is_understood(
    client: openai.AsyncOpenAI, http: httpx.AsyncClient, path: str
) -> None:
    await ingest_file(client, "ovens.md", OVENS, "default")
    question = {"messages": [{"role": "user", "content": QUESTION}]} if path != "completions" else {"prompt": QUESTION}
    response = await http.post(f"/v1/{path}", json={"model": "ragserve", "max_tokens": 64, **question})
    answer_id = response.json()["id"]

    given = (await http.post(PATH, json={"id": answer_id, "rating": "good"})).json()

    assert given["id"] == response.headers["x-request-id"] != answer_id
    assert (await http.get(f"{PATH}/{answer_id}")).json() == given


async def test_a_stored_response_is_judged_by_its_id(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    await ingest_file(client, "ovens.md", OVENS, "default")
    response = await client.responses.create(input=QUESTION)

    given = await http.post(PATH, json={"id": response.id, "rating": "good"})
    other = await http.post(PATH, json={"id": "resp_nope", "rating": "good"})

    assert given.json()["id"] == response.id
    assert error_of(other) == (404, "not_found", "id")


@pytest.mark.parametrize("name", ["comment", "query", "answer"])
async def test_a_text_with_nul_is_refused(http: httpx.AsyncClient, name: str) -> None:
    response = await http.post(PATH, json={"id": "req_1", "rating": "bad", name: "250 \0 what?"})

    assert error_of(response) == (422, "invalid_request", name)


async def test_a_second_judgement_replaces_the_first(http: httpx.AsyncClient) -> None:
    for rating in ("good", "bad"):
        await http.post(PATH, json={"id": "req_1", "rating": rating, "comment": rating})

    (given,) = (await http.get(PATH)).json()["data"]

    assert (given["rating"], given["comment"]) == ("bad", "bad")


async def test_feedback_is_paged_newest_first_and_deleted(http: httpx.AsyncClient) -> None:
    for number in range(3):
        await http.post(PATH, json={"id": f"req_{number}", "rating": "good"})

    first = (await http.get(PATH, params={"limit": 2})).json()
    second = (await http.get(PATH, params={"limit": 2, "after": first["last_id"]})).json()
    deleted = await http.delete(f"{PATH}/req_1")

    assert [each["id"] for each in first["data"] + second["data"]] == ["req_2", "req_1", "req_0"]
    assert deleted.json() == {"id": "req_1", "object": "feedback.deleted", "deleted": True}
    assert error_of(await http.get(f"{PATH}/req_1")) == (404, "not_found", None)
    assert error_of(await http.delete(f"{PATH}/req_1")) == (404, "not_found", None)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"id": "req_1"}, (422, "invalid_request", "rating")),
        ({"rating": "good"}, (422, "invalid_request", "id")),
        ({"id": "req 1", "rating": "good"}, (422, "invalid_request", "id")),
        ({"id": "x" * 129, "rating": "good"}, (422, "invalid_request", "id")),
        ({"id": "req_1", "rating": "fine"}, (422, "invalid_request", "rating")),
        ({"id": "req_1", "rating": "good", "comment": "x" * 8_001}, (422, "invalid_request", "comment")),
        ({"id": "req_1", "rating": "good", "file_ids": ["file-none"]}, (404, "not_found", None)),
        ({"id": "req_1", "rating": "good", "file_ids": ["x"] * 65}, (422, "invalid_request", "file_ids")),
        ({"id": "req_1", "rating": "good", "stars": 5}, (422, "invalid_request", "stars")),
    ],
)
async def test_what_cannot_be_stored_is_refused_by_name(
    http: httpx.AsyncClient, body: dict[str, Any], error: tuple[int, str, str | None]
) -> None:
    assert error_of(await http.post(PATH, json=body)) == error
    assert (await http.get(PATH)).json()["data"] == []


async def test_feedback_outlives_a_restart_and_ends_with_its_retention(
    service: Running, http: httpx.AsyncClient, clock: Clock
) -> None:
    await http.post(PATH, json={"id": "req_1", "rating": "good"})
    clock.ahead_s = 50.0
    await http.post(PATH, json={"id": "req_2", "rating": "good"})

    clock.ahead_s = 100.0
    assert service.corpus.feedback.delete_older(75.0) == 1

    assert [each["id"] for each in (await http.get(PATH)).json()["data"]] == ["req_2"]
