"""What other clients of OpenAI's send: its names of models, its defaults, null fields, and `extra: ignore`."""

from typing import Any

import httpx
import pytest

from tests.serve.api.api_samples import Running, error_of

QUESTION = [{"role": "user", "content": "How tall is the tower?"}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CONTEXT = "Context: The lock opens at six. Boats wait below the weir.\nQuestion: When does the lock open?\nAnswer:"


async def ask(http: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await http.post("/v1/chat/completions", json={"messages": QUESTION, **fields})


@pytest.mark.parametrize("model", ["ragserve", "extractive"])
async def test_documents_answer_for_the_service_and_the_alias_that_serves(http: httpx.AsyncClient, model: str) -> None:
    response = await ask(http, model=model, vector_store_ids=["default"])

    assert (response.status_code, response.json()["model"]) == (200, model)


async def test_an_alias_that_does_not_serve_answers_from_no_documents(http: httpx.AsyncClient) -> None:
    response = await ask(http, model="gpt-oss-20b", vector_store_ids=["default"])

    assert error_of(response) == (404, "model_not_found", "model")
    assert "extractive, ragserve" in response.json()["error"]["message"]


async def test_a_completion_of_the_service_is_of_the_model_that_serves(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/completions", json={"model": "ragserve", "prompt": CONTEXT})

    assert response.status_code == 200
    assert response.json()["model"] == "extractive"
    assert "The lock opens at six. [1]" in response.json()["choices"][0]["text"]


@pytest.mark.parametrize(
    "fields",
    [
        {"presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "logprobs": False, "top_logprobs": 0},
        {"tool_choice": "none"},
        {"tool_choice": "auto", "parallel_tool_calls": True, "modalities": ["text"], "functions": []},
        {"n": None, "stream": None, "tools": None, "stop": None, "logprobs": None, "model": None, "top_k": None},
        {"prompt_cache_key": "tower", "user": "u-1"},
    ],
    ids=["penalties", "no tools", "tools", "nulls", "cache"],
)
async def test_openais_defaults_change_nothing(http: httpx.AsyncClient, fields: dict[str, Any]) -> None:
    response = await ask(http, **fields)

    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("presence_penalty", 2.1),
        ("reasoning_effort", "low"),
        ("logit_bias", {"7": 1}),
        ("logprobs", True),
        ("n", 2),
        ("tool_choice", "required"),
        ("top_kk", None),
        ("modalities", ["audio"]),
    ],
)
async def test_what_would_have_an_effect_is_refused_by_name(http: httpx.AsyncClient, field: str, value: Any) -> None:
    assert error_of(await ask(http, **{field: value})) == (422, "invalid_request", field)


async def test_all_that_cannot_be_followed_can_be_ignored(service: Running) -> None:
    messages = [{"role": "user", "content": [IMAGE, {"type": "text", "text": "How tall is the tower?"}]}]
    async with service.http() as http:
        plain = await ask(http, messages=messages)
        ignoring = await ask(http, messages=messages, n=3, logprobs=True, top_kk=3, extra="ignore")

    assert error_of(plain)[:2] == (422, "invalid_request")
    assert ignoring.status_code == 200, ignoring.text
    assert len(ignoring.json()["choices"]) == 1
