"""Which chat requests are answered from documents, and how the others pass through to the language model."""

import json
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest

from models.answer_form import AnswerForm
from models.generation.evidence import MIN_EVIDENCE
from models.prompts.library import default_prompts
from serve.http_app import create_app
from tests.serve.api.api_samples import Parrot, Running, error_of

NOT_IN_CONTEXT = default_prompts().refusal("not_in_context", AnswerForm(), "Why?")
MESSAGES = [{"role": "user", "content": "one two three"}]
SEARCH = {"type": "file_search", "vector_store_ids": ["default"]}
FUNCTION = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]
CONTEXT_TEXT = "Context: The lock opens at six. Boats wait below the weir.\nQuestion: When does the lock open?\nAnswer:"
CONTEXT = [{"role": "user", "content": CONTEXT_TEXT}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}


@pytest.fixture
def parrot() -> Parrot:
    return Parrot()


@pytest.fixture
def parroting(service: Running, parrot: Parrot) -> Running:
    """The application with the parrot as its language model."""
    return Running(create_app(replace(service.app.state.services, completions=parrot)), service.corpus)


async def post(http: httpx.AsyncClient, path: str = "/v1/chat/completions", **fields: Any) -> httpx.Response:
    return await http.post(path, json={"messages": MESSAGES, **fields})


async def test_a_language_model_gets_the_request_unchanged(parroting: Running, parrot: Parrot) -> None:
    async with parroting.openai_client("any") as client:
        answer = await client.chat.completions.create(
            model="qwen3-4b", messages=MESSAGES, tools=[FUNCTION], top_p=0.5, extra_body={"min_p": 0.1}
        )

    assert answer.choices[0].message.content == "one two three"
    assert parrot.bodies == [
        {"model": "qwen3-4b", "messages": MESSAGES, "tools": [FUNCTION], "top_p": 0.5, "min_p": 0.1}
    ]


async def test_the_models_chunks_are_streamed(parroting: Running) -> None:
    async with parroting.openai_client("any") as client:
        stream = await client.chat.completions.create(model="qwen3-4b", messages=MESSAGES, stream=True)
        words = [chunk.choices[0].delta.content async for chunk in stream]

    assert words == ["one", "two", "three"]


async def test_a_failure_inside_a_stream_ends_it_with_an_error(parroting: Running) -> None:
    async with parroting.openai_client("any") as client:
        messages = [{"role": "user", "content": "three four"}]
        stream = await client.chat.completions.create(model="qwen3-4b", messages=messages, stream=True)

        with pytest.raises(openai.APIError, match="full queue") as caught:
            _ = [chunk async for chunk in stream]

    assert caught.value.code == "overloaded"


async def test_a_failure_before_a_stream_is_an_http_error(parroting: Running) -> None:
    async with parroting.http() as http:
        response = await post(http, model="qwen3-4b", messages=[{"role": "user", "content": "four"}], stream=True)

    assert error_of(response) == (429, "overloaded", None)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"model": "ragserve"},
        {"model": "extractive", "vector_store_ids": ["default"]},
        {"model": "extractive", "tools": [SEARCH]},
    ],
    ids=["no-model", "service", "stores", "tool"],
)
async def test_naming_the_service_or_a_store_searches_documents(
    parroting: Running, parrot: Parrot, fields: dict[str, Any]
) -> None:
    async with parroting.http() as http:
        response = await post(http, **fields)

    assert response.json()["models"]["generate"] == "extractive"
    assert parrot.bodies == []


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"tools": [FUNCTION]}, "tools", "user_config.model of the Generator"),
        ({"model": "extractive", "tools": [SEARCH, FUNCTION]}, "tools", "user_config.model of the Generator"),
        ({"response_format": SCHEMA}, "response_format", "cannot write JSON"),
        ({"response_format": {"type": "xml"}}, "response_format", "json_schema"),
        ({"model": "extractive", "tools": [FUNCTION]}, "tools", "user_config.model of the Generator"),
        ({"model": "extractive", "messages": [*IMAGE, *CONTEXT]}, "messages", "reads text alone"),
        ({"model": "extractive", "mode": "dense"}, "mode", "add vector_store_ids"),
        ({"model": "extractive", "vector_store_idz": ["x"]}, "vector_store_idz", "unknown field"),
        ({"model": "extractive", "n": 1000}, "n", "128"),
        ({"model": "extractive", "messages": []}, "messages", "at least 1"),
    ],
    ids=["function", "both", "schema", "format", "quoting-tools", "images", "search", "unknown", "n", "messages"],
)
async def test_unsupported_requests_are_refused_with_the_alternative(
    http: httpx.AsyncClient, fields: dict[str, Any], param: str | None, message: str
) -> None:
    response = await post(http, **fields)

    assert error_of(response) == (422, "invalid_request", param)
    assert message in response.json()["error"]["message"]


async def test_a_schema_without_an_end_does_not_reach_the_model(parroting: Running, parrot: Parrot) -> None:
    endless = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"$ref": "#"}}}

    async with parroting.http() as http:
        answer = await post(http, model="qwen3-4b", response_format=endless)

    assert error_of(answer) == (422, "invalid_request", "response_format")
    assert "leads only to itself" in answer.json()["error"]["message"]
    assert parrot.bodies == []


@pytest.mark.parametrize("url", ["http://127.0.0.1/a.png", "file:///etc/passwd", {"url": "https://example.org/a.png"}])
async def test_remote_media_is_refused(parroting: Running, parrot: Parrot, url: Any) -> None:
    image = {"type": "image_url", "image_url": url}
    async with parroting.http() as http:
        response = await post(http, model="qwen3-4b", messages=[{"role": "user", "content": [image]}])

    assert error_of(response) == (422, "invalid_request", "messages")
    assert parrot.bodies == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vector_store_ids": ["manuals"]}, "vector_store_ids needs documents to search"),
        ({"filters": {"type": "eq", "key": "year", "value": 2026}}, "filters needs documents to search"),
        ({"filter": {"year": 2026}}, "filter: unknown field"),
    ],
    ids=["stores", "filters", "unknown"],
)
async def test_a_completion_ignores_no_field_that_chooses_documents(
    http: httpx.AsyncClient, fields: dict[str, Any], message: str
) -> None:
    """It is answered from the default store, so an answer from all of it would look like one from the chosen files."""
    response = await http.post("/v1/completions", json={"model": "ragserve", "prompt": "How hot is it?", **fields})

    assert error_of(response) == (422, "invalid_request", next(iter(fields)))
    assert message in response.json()["error"]["message"]


async def test_a_completion_leaves_an_unknown_field_out_on_request(http: httpx.AsyncClient) -> None:
    body = {"model": "ragserve", "prompt": "How hot is it?", "extra": "ignore", "unknown": 1, "top_k": 5}

    assert (await http.post("/v1/completions", json=body)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_an_unknown_model_is_not_found(http: httpx.AsyncClient, path: str) -> None:
    response = await post(http, path, model="gpt-unknown", prompt="one")

    assert error_of(response) == (404, "model_not_found", "model")
    assert "extractive" in response.json()["error"]["message"]


async def test_an_unknown_adapter_is_not_found(http: httpx.AsyncClient) -> None:
    response = await post(http, model="law", vector_store_ids=["default"])

    assert error_of(response) == (404, "model_not_found", "model")


async def test_a_completion_continues_its_prompt(parroting: Running, parrot: Parrot) -> None:
    async with parroting.http() as http:
        response = await http.post("/v1/completions", json={"model": "qwen3-4b", "prompt": "one two", "echo": True})
        many = await http.post("/v1/completions", json={"model": "qwen3-4b", "prompt": ["one"] * 200})

    assert json.loads(response.text)["choices"][0]["message"]["content"] == "one two"
    assert parrot.bodies == [{"model": "qwen3-4b", "prompt": "one two", "echo": True}]
    assert error_of(many) == (422, "invalid_request", "prompt")


async def test_a_conversation_with_tool_calls_is_answered(http: httpx.AsyncClient) -> None:
    call = {"id": "call-7", "type": "function", "function": {"name": "thermometer", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "How warm is it outside?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call-7", "content": [{"type": "text", "text": "21 degrees"}]},
        {"role": "assistant", "content": None, "refusal": "I will not say."},
        {"role": "function", "name": "thermometer", "content": None},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "user", "content": "How tall is the tower?"},
    ]

    response = await http.post("/v1/chat/completions", json={"messages": messages})

    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"]


async def test_a_long_conversation_is_answered(http: httpx.AsyncClient) -> None:
    turns = [{"role": role, "content": "Go on."} for _ in range(300) for role in ("user", "assistant")]

    response = await http.post("/v1/chat/completions", json={"messages": [*turns, *MESSAGES]})

    assert response.status_code == 200


async def test_a_plain_conversation_is_answered_from_the_context_that_it_brings(service: Running) -> None:
    async with service.openai_client("any") as client:
        request = {"model": "extractive", "messages": CONTEXT, "temperature": 0.1}
        answer = await client.chat.completions.create(**request)
        stream = await client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]

    message = answer.choices[0].message
    assert "The lock opens at six. [1]" in message.content
    assert answer.citations[0]["filename"] == "prompt"
    place = message.annotations[0].url_citation
    assert message.content[place.start_index : place.end_index] == "[1]"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == message.content
    assert chunks[-1].usage == answer.usage


async def test_a_prompt_is_completed_from_the_context_that_it_brings(service: Running) -> None:
    async with service.openai_client("any") as client:
        answer = await client.completions.create(model="extractive", prompt=CONTEXT_TEXT)

    assert "The lock opens at six. [1]" in answer.choices[0].text


async def test_a_context_that_does_not_answer_says_so(http: httpx.AsyncClient) -> None:
    answered = await post(http, model="extractive", messages=[{"role": "user", "content": CONTEXT_TEXT}])
    off_topic = CONTEXT_TEXT.replace("When does the lock open?", "Who composed the Moldau?")
    declined = (await post(http, model="extractive", messages=[{"role": "user", "content": off_topic}])).json()

    assert answered.json()["answerable"]
    assert declined["choices"][0]["message"]["content"] == NOT_IN_CONTEXT
    assert (declined["answerable"], declined["citations"]) == (False, [])
    assert declined["evidence"] < MIN_EVIDENCE < answered.json()["evidence"]


async def test_a_standalone_question_is_made_without_citations(http: httpx.AsyncClient) -> None:
    messages = [
        {"role": "system", "content": "Formulate a standalone question from the chat history."},
        {"role": "user", "content": "Where is the lock?"},
        {"role": "assistant", "content": "Below the weir."},
        {"role": "user", "content": "When does it open?"},
    ]

    reply = (await post(http, model="extractive", messages=messages)).json()

    assert reply["choices"][0]["message"]["content"] == "When does it open? lock"
    assert reply["citations"] == []


async def test_fields_that_no_answer_from_documents_knows_can_be_ignored(http: httpx.AsyncClient) -> None:
    extra = {"frequency_penalty": 0.5, "logit_bias": {"7": 1}, "tools": [SEARCH]}

    refused = await post(http, **extra)
    accepted = await post(http, **extra, extra="ignore")

    assert refused.status_code == 422
    assert accepted.status_code == 200
