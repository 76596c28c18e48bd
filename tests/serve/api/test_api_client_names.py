"""What clients of other services send: their names of models, the model that quotes, and text that is no text."""

import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from models.catalog import Catalog
from serve.api.client_names import served_name
from serve.settings import ApiConfig
from tests.serve.api.api_samples import Running, error_of, ingest_file

ALIASES = {"gpt-4o": "ragserve", "text-embedding-3-small": "hashing", "rerank-v3.5": "shortest-first"}
QUESTION = [{"role": "user", "content": "How tall is the tower?"}]
TOWER = b"The tower is 40 metres tall. It stands in the north."


@pytest.fixture
async def tower(client: openai.AsyncOpenAI) -> None:
    await ingest_file(client, "tower.md", TOWER, "default")


@pytest.mark.usefixtures("tower")
async def test_a_clients_name_stands_for_a_model(service: Running, client: openai.AsyncOpenAI) -> None:
    service.replace(api=ApiConfig(model_aliases=ALIASES))

    answer = await client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    embedded = await client.embeddings.create(model="text-embedding-3-small", input="a")
    async with service.http() as http:
        ranked = await http.post("/v1/rerank", json={"model": "rerank-v3.5", "query": "a", "documents": ["b", "c"]})

    assert (answer.model, answer.citations[0]["filename"]) == ("ragserve", "tower.md")
    assert (embedded.model, ranked.json()["model"]) == ("hashing", "shortest-first")


@pytest.mark.usefixtures("tower")
async def test_a_pattern_stands_for_all_names_that_begin_so_but_for_no_model(
    service: Running, client: openai.AsyncOpenAI
) -> None:
    service.replace(api=ApiConfig(model_aliases={"gpt-*": "ragserve", "gpt-4*": "extractive", "e*": "ragserve"}))

    answers = {
        name: (await client.chat.completions.create(model=name, messages=QUESTION)).model
        for name in ("gpt-6", "gpt-4o", "extractive", "e")
    }
    names = [model.id async for model in client.models.list()]

    assert answers == {"gpt-6": "ragserve", "gpt-4o": "extractive", "extractive": "extractive", "e": "ragserve"}
    assert names == ["ragserve", "extractive"]


def test_a_pattern_hides_no_adapter(tmp_path: Path) -> None:
    path = tmp_path / "catalog.yaml"
    llm = {"kind": "vllm", "licence": "MIT", "options": {"source": "a/llm", "adapters": {"gpt-law": "a/law"}}}
    path.write_text(json.dumps({"generation": {"our-llm": llm}}))
    aliases = {"gpt-*": "ragserve"}

    assert served_name("gpt-law", aliases, Catalog.open(path)) == "gpt-law"
    assert served_name("gpt-4o", aliases, Catalog.open(path)) == "ragserve"


@pytest.mark.usefixtures("tower")
async def test_every_listed_model_chats_and_the_service_is_the_first(
    service: Running, client: openai.AsyncOpenAI
) -> None:
    service.replace(api=ApiConfig(model_aliases=ALIASES))

    names = [model.id async for model in client.models.list()]
    answers = [await client.chat.completions.create(model=name, messages=QUESTION) for name in names]
    prompted = [await client.completions.create(model=name, prompt="How tall is the tower?") for name in names]

    assert names == ["ragserve", "extractive", "gpt-4o"]
    for answer in answers:
        assert "40 metres tall. [1]" in answer.choices[0].message.content
    for completion in prompted:
        assert "40 metres tall. [1]" in completion.choices[0].text
        assert completion.citations[0]["filename"] == "tower.md"
    assert (await client.models.retrieve("rerank-v3.5")).stage == "rerank"


@pytest.mark.usefixtures("tower")
async def test_the_model_that_quotes_streams_from_documents(client: openai.AsyncOpenAI) -> None:
    options = {"model": "extractive", "stream": True, "stream_options": {"include_usage": True}}
    chat = [chunk async for chunk in await client.chat.completions.create(messages=QUESTION, **options)]
    prompted = [chunk async for chunk in await client.completions.create(prompt=["How tall is the tower?"], **options)]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chat if chunk.choices)
    assert "40 metres tall. [1]" in text
    assert "".join(chunk.choices[0].text for chunk in prompted if chunk.choices) == text
    assert prompted[-1].usage == chat[-1].usage
    assert [chunk.choices[0].finish_reason for chunk in prompted[:-1]][-1] == "stop"


UNKNOWN_NAMES: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/chat/completions", {"messages": QUESTION}, "extractive, ragserve"),
    ("/v1/completions", {"prompt": "one"}, "extractive, ragserve"),
    ("/v1/embeddings", {"input": "one"}, "hashing, ragserve"),
    ("/v2/rerank", {"query": "one", "documents": ["two"]}, "ragserve, shortest-first"),
]


async def test_an_unknown_name_gets_the_names_that_work(http: httpx.AsyncClient) -> None:
    for path, body, names in UNKNOWN_NAMES:
        response = await http.post(path, json={"model": "gpt-4o", **body})

        assert error_of(response) == (404, "model_not_found", "model"), path
        assert f"no model named 'gpt-4o'; it is one of {names}" in response.json()["error"]["message"]


BROKEN = "tall \ud800 tower"


BROKEN_BODIES: list[tuple[str, dict[str, Any], str | None]] = [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": BROKEN}]}, "messages.0.content"),
    ("/v1/chat/completions", {"model": BROKEN, "messages": QUESTION}, "model"),
    ("/v1/chat/completions", {"messages": QUESTION, BROKEN: 1}, None),
    ("/v1/completions", {"model": "extractive", "prompt": [BROKEN]}, "prompt.0"),
    ("/v1/embeddings", {"input": ["a", BROKEN]}, "input.1"),
    ("/v1/rerank", {"query": "a", "documents": [{"text": BROKEN}]}, "documents.0.text"),
    ("/v1/query", {"query": BROKEN}, "query"),
    ("/v1/vector_stores/default/search", {"query": BROKEN}, "query"),
    ("/v1/vector_stores", {"name": BROKEN}, "name"),
]


async def test_half_a_surrogate_pair_is_refused(http: httpx.AsyncClient) -> None:
    for path, body, param in BROKEN_BODIES:
        response = await http.post(path, content=json.dumps(body))

        assert error_of(response) == (422, "invalid_request", param), path
        assert "surrogate" in response.json()["error"]["message"]


async def test_half_a_surrogate_pair_is_refused_in_any_encoding(http: httpx.AsyncClient) -> None:
    for encoding in ("utf-8", "utf-16"):
        content = ('{"input": "' + BROKEN + '"}').encode(encoding, "surrogatepass")
        response = await http.post("/v1/embeddings", content=content)
        assert error_of(response) == (422, "invalid_request", "input"), encoding


async def test_a_field_that_comes_twice_is_refused(http: httpx.AsyncClient) -> None:
    for path, content in (
        ("/v1/query", '{"query": "a", "query": "b"}'),
        ("/v1/chat/completions", '{"messages": [{"role": "user", "content": "a", "role": "user"}]}'),
    ):
        response = await http.post(path, content=content)

        assert error_of(response) == (422, "invalid_request", "query" if path == "/v1/query" else "role")
        assert "comes twice" in response.json()["error"]["message"]


async def test_a_body_that_is_no_object_is_refused_with_what_to_send(http: httpx.AsyncClient) -> None:
    for content, text in (("", "not a JSON object"), ("null", "not a JSON object"), ("hello", "not valid JSON")):
        response = await http.post("/v1/query", content=content)

        assert error_of(response) == (422, "invalid_request", None)
        assert text in response.json()["error"]["message"]
    response = await http.post("/v1/query", json={"query": "a", "vector_store_ids": "default"})
    assert response.json()["error"]["message"] == "vector_store_ids: a list is needed"


async def test_a_whole_surrogate_pair_is_a_character(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/embeddings", content=b'{"input": "\\ud83d\\ude00 smile"}')

    assert response.status_code == 200


async def test_the_service_may_ignore_what_no_answer_can_follow(service: Running, http: httpx.AsyncClient) -> None:
    fields = {"messages": QUESTION, "n": 2, "logprobs": True, "reasoning_effort": "low", "parallel_tool_calls": True}
    refused = await http.post("/v1/chat/completions", json=fields)
    service.replace(api=ApiConfig(extra="ignore"))
    ignored = await http.post("/v1/chat/completions", json=fields)
    strict = await http.post("/v1/chat/completions", json={**fields, "extra": "refuse"})

    assert error_of(refused) == error_of(strict) == (422, "invalid_request", "n")
    assert "answers from documents have one choice" in refused.json()["error"]["message"]
    assert ignored.status_code == 200, ignored.text
