"""Which chat requests are answered from documents, which go to the language model as they are, and how that ends."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest

from models.errors import OverloadedError
from models.types import CompletionRequest, Deadline
from serve.ingress import create_app
from tests.serve.api.api_samples import Running, error_of

MESSAGES = [{"role": "user", "content": "one two three"}]
SEARCH = {"type": "file_search", "vector_store_ids": ["default"]}
FUNCTION = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}


class Parrot:
    """A CompletionStage that repeats the last message, a word a chunk, and is overloaded by the word `four`."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    async def complete(self, request: CompletionRequest, deadline: Deadline) -> AsyncGenerator[dict[str, Any], None]:
        self.bodies.append(request.body)
        said = request.body["prompt"] if request.kind == "completion" else request.body["messages"][-1]["content"]
        if not request.body.get("stream"):
            yield self._object("chat.completion", {"message": {"role": "assistant", "content": said}})
            return
        for word in said.split():
            if word == "four":
                raise OverloadedError("generate")
            yield self._object("chat.completion.chunk", {"delta": {"content": word}})

    def _object(self, kind: str, choice: dict[str, Any]) -> dict[str, Any]:
        whole = {"index": 0, "finish_reason": "stop", **choice}
        return {"id": "parrot-1", "object": kind, "created": 1, "model": "parrot", "choices": [whole]}


@pytest.fixture
def parrot() -> Parrot:
    return Parrot()


@pytest.fixture
def spoken(service: Running, parrot: Parrot) -> Running:
    """The application, with the parrot for a language model."""
    return Running(create_app(replace(service.app.state.services, completions=parrot)), service.corpus)


async def post(http: httpx.AsyncClient, path: str = "/v1/chat/completions", **fields: Any) -> httpx.Response:
    return await http.post(path, json={"messages": MESSAGES, **fields})


async def test_a_language_model_gets_the_request_as_it_is(spoken: Running, parrot: Parrot) -> None:
    async with spoken.official("any") as client:
        answer = await client.chat.completions.create(
            model="qwen3-4b", messages=MESSAGES, tools=[FUNCTION], top_p=0.5, extra_body={"min_p": 0.1}
        )

    assert answer.choices[0].message.content == "one two three"
    assert parrot.bodies == [
        {"model": "qwen3-4b", "messages": MESSAGES, "tools": [FUNCTION], "top_p": 0.5, "min_p": 0.1}
    ]


async def test_its_chunks_are_streamed(spoken: Running) -> None:
    async with spoken.official("any") as client:
        stream = await client.chat.completions.create(model="qwen3-4b", messages=MESSAGES, stream=True)
        words = [chunk.choices[0].delta.content async for chunk in stream]

    assert words == ["one", "two", "three"]


async def test_what_fails_inside_a_stream_ends_it_with_an_error(spoken: Running) -> None:
    async with spoken.official("any") as client:
        messages = [{"role": "user", "content": "three four"}]
        stream = await client.chat.completions.create(model="qwen3-4b", messages=messages, stream=True)

        with pytest.raises(openai.APIError, match="full queue") as caught:
            _ = [chunk async for chunk in stream]

    assert caught.value.code == "overloaded"


async def test_what_fails_before_a_stream_is_an_http_error(spoken: Running) -> None:
    async with spoken.http() as http:
        response = await post(http, model="qwen3-4b", messages=[{"role": "user", "content": "four"}], stream=True)

    assert error_of(response) == (429, "overloaded", None)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"model": "ragserve"},
        {"model": "qwen3-4b", "vector_store_ids": ["default"]},
        {"model": "qwen3-4b", "tools": [SEARCH]},
    ],
    ids=["no-model", "service", "stores", "tool"],
)
async def test_documents_are_searched_for_the_service_and_where_stores_are_named(
    spoken: Running, parrot: Parrot, fields: dict[str, Any]
) -> None:
    async with spoken.http() as http:
        response = await post(http, **fields)

    assert response.json()["models"]["generate"] == "extractive"
    assert parrot.bodies == []


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"tools": [FUNCTION]}, "tools", "answers from documents call no functions"),
        ({"model": "qwen3-4b", "tools": [SEARCH, FUNCTION]}, "tools", "answers from documents call no functions"),
        ({"response_format": SCHEMA}, "response_format", "writes no JSON"),
        ({"response_format": {"type": "xml"}}, "response_format", "json_schema"),
        ({"model": "extractive"}, "model", "set user_config.model of the Generator"),
        ({"model": "extractive", "stream": True}, "model", "set user_config.model of the Generator"),
        ({"model": "extractive", "mode": "dense"}, None, "add vector_store_ids"),
        ({"model": "extractive", "n": 1000}, "n", "128"),
        ({"model": "extractive", "messages": []}, "messages", "at least 1"),
    ],
    ids=["function", "both", "schema", "format", "extractive", "stream", "search", "n", "messages"],
)
async def test_what_cannot_be_done_is_refused_with_what_can(
    http: httpx.AsyncClient, fields: dict[str, Any], param: str | None, message: str
) -> None:
    response = await post(http, **fields)

    assert error_of(response) == (422, "invalid_request", param)
    assert message in response.json()["error"]["message"]


@pytest.mark.parametrize("url", ["http://127.0.0.1/a.png", "file:///etc/passwd", {"url": "https://example.org/a.png"}])
async def test_no_address_is_fetched_for_a_caller(spoken: Running, parrot: Parrot, url: Any) -> None:
    part = {"type": "image_url", "image_url": url}
    async with spoken.http() as http:
        response = await post(http, model="qwen3-4b", messages=[{"role": "user", "content": [part]}])

    assert error_of(response) == (422, "invalid_request", "messages")
    assert parrot.bodies == []


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_an_unknown_model_is_not_found(http: httpx.AsyncClient, path: str) -> None:
    response = await post(http, path, model="gpt-unknown", prompt="one")

    assert error_of(response) == (404, "model_not_found", None)
    assert "extractive" in response.json()["error"]["message"]


async def test_an_adapter_that_no_entry_has_is_not_found(http: httpx.AsyncClient) -> None:
    response = await post(http, model="law", vector_store_ids=["default"])

    assert error_of(response) == (404, "model_not_found", None)


async def test_a_completion_continues_its_prompt(spoken: Running, parrot: Parrot) -> None:
    async with spoken.http() as http:
        response = await http.post("/v1/completions", json={"model": "qwen3-4b", "prompt": "one two", "echo": True})
        many = await http.post("/v1/completions", json={"model": "qwen3-4b", "prompt": ["one"] * 200})

    assert json.loads(response.text)["choices"][0]["message"]["content"] == "one two"
    assert parrot.bodies == [{"model": "qwen3-4b", "prompt": "one two", "echo": True}]
    assert error_of(many) == (422, "invalid_request", "prompt")
