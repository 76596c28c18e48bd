"""Every shape of the API says which retrieved passages the answer cites."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from tests.serve.api.api_samples import Running, ingest_file

QUESTION = "How tall is the tower?"


@pytest.fixture
async def http(service: Running, client: openai.AsyncOpenAI) -> AsyncIterator[httpx.AsyncClient]:
    """The application with five files about towers. An answer quotes at most three sentences of them."""
    for number, city in enumerate(("Paris", "Rome", "Oslo", "Bern", "Lima")):
        await ingest_file(
            client, f"{city}.txt", f"The tower of {city} is {300 + number} metres tall.".encode(), "default"
        )
    async with service.http() as opened:
        yield opened


def cited_by_filename(body: dict[str, Any]) -> dict[str, bool]:
    return {passage["filename"]: passage["cited"] for passage in body["passages"]}


def events_of(response: httpx.Response) -> list[dict[str, Any]]:
    data = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in data if line != "[DONE]"]


async def test_each_passage_says_whether_it_is_cited(http: httpx.AsyncClient) -> None:
    question = {"messages": [{"role": "user", "content": QUESTION}]}

    native = (await http.post("/v1/query", json={"query": QUESTION})).json()
    chat = (await http.post("/v1/chat/completions", json=question)).json()
    native_events = events_of(await http.post("/v1/query", json={"query": QUESTION, "stream": True}))
    chat_events = events_of(await http.post("/v1/chat/completions", json=question | {"stream": True}))

    for body in (native, chat, native_events[-1], chat_events[-1]):
        cited = {citation["filename"] for citation in body["citations"]}
        assert 0 < len(cited) < 5
        assert cited_by_filename(body) == {
            passage["filename"]: passage["filename"] in cited for passage in body["passages"]
        }
        assert set(cited_by_filename(body).values()) == {True, False}
    # The first event comes before the answer, so it cannot say which passages are cited.
    assert "cited" not in native_events[0]["passages"][0]


async def test_brackets_and_backticks_of_a_document_are_never_annotated(
    http: httpx.AsyncClient, client: openai.AsyncOpenAI
) -> None:
    text = b"``Cranes'' lift hulls [1] by hook[2]."
    await ingest_file(client, "crane.txt", text, "default")
    question = {"messages": [{"role": "user", "content": "What do cranes lift by hook?"}], "top_k": 2}

    body = (await http.post("/v1/chat/completions", json=question)).json()

    message = body["choices"][0]["message"]
    places = [annotation["url_citation"] for annotation in message["annotations"]]
    marked = [message["content"][place["start_index"] : place["end_index"]] for place in places]
    assert "crane.txt" in {place["title"] for place in places}
    assert marked == re.findall(r"\[\d\]", message["content"])
    assert len(marked) == len(body["citations"])


async def test_strict_changes_no_quoted_answer_and_refuses_json(http: httpx.AsyncClient) -> None:
    chat = {"messages": [{"role": "user", "content": QUESTION}], "grounded": "strict"}
    json_object = {"response_format": {"type": "json_object"}}

    plain = (await http.post("/v1/query", json={"query": QUESTION})).json()
    strict = (await http.post("/v1/query", json={"query": QUESTION, "grounded": "strict"})).json()
    refused = await http.post("/v1/chat/completions", json=chat | json_object)
    unknown = await http.post("/v1/query", json={"query": QUESTION, "grounded": "very"})

    assert (strict["answer"], strict["unsupported"]) == (plain["answer"], [])
    assert (await http.post("/v1/chat/completions", json=chat)).json()["unsupported"] == []
    assert [response.json()["error"]["param"] for response in (refused, unknown)] == ["grounded", "grounded"]


async def test_a_file_name_cannot_turn_the_text_around_it(service: Running, client: openai.AsyncOpenAI) -> None:
    name = "report\u202egpj.exe\x1b[31m \u06a9\u200c\u062a\u0627\u0628.txt"  # the zero-width joiner is Persian spelling
    file_id = await ingest_file(client, name, b"The tower of Ghent is 91 metres tall.", "default")
    async with service.http() as http:
        answer = (await http.post("/v1/query", json={"query": QUESTION})).json()

    assert answer["citations"][0]["filename"] == "report gpj.exe [31m \u06a9\u200c\u062a\u0627\u0628.txt"
    assert (await client.files.retrieve(file_id)).filename == name
