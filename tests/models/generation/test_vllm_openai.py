"""OpenAI's request bodies, answered by vLLM's own server over one real engine of random weights."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from models.errors.configuration import ModelNotFoundError
from models.errors.requests import InvalidRequestError
from models.functions import Functions, ToolCall
from models.generation.function_calls import CallGatherer
from models.generation.vllm_model import VllmModel
from models.types.generation import ChatMessage, CompletionRequest, SamplingOptions
from tests.models.generation.engine_probe import MAX_TOKENS, collect, num_running_in_the_core, until
from tests.models.generation.samples import TOWER, asking, passage

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
    # torch's own, when vLLM imports it.
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    # vLLM's own, when it reads OpenAI's older name.
    pytest.mark.filterwarnings("ignore:max_tokens is deprecated:DeprecationWarning"),
]

MESSAGES = [{"role": "user", "content": "How tall is the tower?"}]
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Paris", "Rome"]},
        "tall": {"type": "boolean"},
        "parts": {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 1, "maxItems": 2},
    },
    "required": ["city", "tall", "parts"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": SCHEMA, "strict": True}}
ONE_CALL = {"tools": [TOOL], "parallel_tool_calls": False, "max_tokens": 300, "seed": 1}
# Of random weights no token ends the text before its length.
FOREVER = {"ignore_eos": True, "temperature": 1.0, "seed": 1}


def chat(**fields: Any) -> CompletionRequest:
    return CompletionRequest("request-1", "chat", {"model": "tiny", "messages": MESSAGES, **fields})


def completion(**fields: Any) -> CompletionRequest:
    return CompletionRequest("request-1", "completion", {"model": "tiny", "prompt": "The tower", **fields})


async def responses(model: VllmModel, request: CompletionRequest) -> list[dict[str, Any]]:
    return [response async for response in model.complete(request)]


async def whole(model: VllmModel, request: CompletionRequest) -> dict[str, Any]:
    (response,) = await responses(model, request)
    return response


def content_of(response: dict[str, Any]) -> str:
    return response["choices"][0]["message"]["content"]


async def test_a_chat_is_one_object_and_its_stream_the_same_text(model: VllmModel) -> None:
    fields = {**FOREVER, "max_tokens": 30}

    response = await whole(model, chat(**fields))
    chunks = await responses(model, chat(**fields, stream=True, stream_options={"include_usage": True}))

    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks[:-1])
    assert (response["object"], response["model"]) == ("chat.completion", "tiny")
    assert response["usage"]["completion_tokens"] == 30
    assert text == content_of(response)
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["usage"]["completion_tokens"] == 30
    assert {chunk["id"] for chunk in chunks} != {response["id"]}
    assert model.activity().num_unfinished == 0


async def test_a_completion_echoes_counts_and_streams(model: VllmModel) -> None:
    fields = {**FOREVER, "max_tokens": 12}

    response = await whole(model, completion(**fields, echo=True, logprobs=2))
    chunks = await responses(model, completion(**fields, stream=True))

    text = response["choices"][0]["text"]
    assert response["object"] == "text_completion"
    assert text.startswith("The tower")
    assert "The tower" + "".join(chunk["choices"][0]["text"] for chunk in chunks) == text
    assert len(response["choices"][0]["logprobs"]["token_logprobs"]) == response["usage"]["total_tokens"]


async def test_several_prompts_and_choices_are_answered_apart(model: VllmModel) -> None:
    fields = {**FOREVER, "max_tokens": 8, "n": 2}

    response = await whole(model, completion(**fields, prompt=["One", "Two"]))

    assert [choice["index"] for choice in response["choices"]] == [0, 1, 2, 3]
    assert len({choice["text"] for choice in response["choices"]}) == 4


async def test_each_token_comes_with_its_logprobs(model: VllmModel) -> None:
    response = await whole(model, chat(**FOREVER, max_tokens=6, logprobs=True, top_logprobs=3))

    tokens = response["choices"][0]["logprobs"]["content"]
    assert len(tokens) == 6
    assert all(len(token["top_logprobs"]) == 3 and token["logprob"] < 0 for token in tokens)


async def test_a_schema_is_kept_to(model: VllmModel) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}

    answers = [
        json.loads(content_of(await whole(model, chat(max_tokens=200, response_format=form, seed=seed))))
        for seed in range(3)
    ]

    for answer in answers:
        assert set(answer) == {"city", "tall", "parts"}
        assert answer["city"] in ("Paris", "Rome")
        assert isinstance(answer["tall"], bool)
        assert set(answer["parts"]) <= {1, 2, 3}


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "look_up"}}], ids=["required", "named"]
)
async def test_a_tool_is_called_with_arguments_that_fit_its_schema(model: VllmModel, choice: Any) -> None:
    response = await whole(model, chat(**ONE_CALL, tool_choice=choice))

    call = response["choices"][0]["message"]["tool_calls"][0]
    assert call["type"] == "function"
    assert call["function"]["name"] == "look_up"
    assert json.loads(call["function"]["arguments"])["city"] in ("Paris", "Rome")


async def test_a_call_of_a_tool_is_streamed(model: VllmModel) -> None:
    chunks = await responses(model, chat(**ONE_CALL, tool_choice="required", stream=True))

    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls") or ()]
    assert {call["index"] for call in calls} == {0}
    assert calls[0]["function"]["name"] == "look_up"
    assert json.loads("".join(call["function"].get("arguments") or "" for call in calls))["city"] in ("Paris", "Rome")
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_a_function_is_called_beside_passages(model: VllmModel) -> None:
    question = asking("How tall?", passage(TOWER), sampling=SamplingOptions(300, temperature=1.0, seed=1))
    history = (
        ChatMessage("user", "And Rome?"),
        ChatMessage("assistant", "", (ToolCall("call_1", "look_up", '{"city": "Rome"}'),)),
        ChatMessage("tool", "Rome is old.", call_id="call_1"),
    )
    request = replace(
        question, messages=(*history, *question.messages), functions=Functions((TOOL,), "required", False)
    )

    deltas = await collect(model, request)

    gathered = CallGatherer()
    for piece in (piece for delta in deltas for piece in delta.calls):
        gathered.add(piece)
    (call,) = gathered.calls
    assert (call.name, json.loads(call.arguments)["city"] in ("Paris", "Rome")) == ("look_up", True)
    assert (deltas[-1].finish_reason, deltas[-1].num_prompt_tokens > 0) == ("tool_calls", True)


async def test_an_adapter_is_called_by_its_name(model: VllmModel) -> None:
    names = ["tiny", "tiny-law", "tiny-sea"]

    answers = [await whole(model, chat(model=name, max_tokens=20, temperature=0)) for name in names]

    assert [response["model"] for response in answers] == names
    assert len({content_of(response) for response in answers}) == 3


async def test_a_model_of_another_name_is_not_found(model: VllmModel) -> None:
    with pytest.raises(ModelNotFoundError, match="did you mean 'tiny-law'"):
        await responses(model, chat(model="tiny-lav"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 7}, "top_p"),
        ({"messages": [{"role": "user", "content": "Why? " * 2000}]}, "maximum context length"),
        ({"chat_template": "{{ messages }}"}, "chat template"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nothing"}}}},
            "Invalid type: nothing",
        ),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"logprobs": True, "top_logprobs": 10_000}, "logprobs"),
    ],
    ids=["type", "range", "too-long", "template", "schema", "tool", "logprobs"],
)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_what_vllm_refuses_is_the_callers_error(
    model: VllmModel, fields: dict[str, Any], message: str, stream: bool
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        await responses(model, chat(**{"max_tokens": 8, "stream": stream, **fields}))

    assert model.activity().num_unfinished == 0


async def test_more_tokens_than_the_configured_most_are_asked_for_in_vain(model: VllmModel) -> None:
    response = await whole(model, chat(**FOREVER, max_tokens=800))
    unbounded = await whole(model, chat(**FOREVER))

    assert response["usage"]["completion_tokens"] == unbounded["usage"]["completion_tokens"] == MAX_TOKENS


@pytest.mark.parametrize("make_request", [chat, completion], ids=["chat", "completion"])
async def test_closing_the_stream_frees_the_engine_at_once(model: VllmModel, make_request: Any) -> None:
    chunks = model.complete(make_request(**FOREVER, max_tokens=500, n=2, stream=True))
    await anext(chunks)
    assert model.activity().num_unfinished == 2

    await chunks.aclose()

    assert model.activity().num_unfinished == 0
    await until(lambda: num_running_in_the_core() == 0)


@pytest.mark.parametrize("make_request", [chat, completion], ids=["chat", "completion"])
async def test_cancelling_the_wait_for_a_whole_answer_frees_the_engine_at_once(
    model: VllmModel, make_request: Any
) -> None:
    waiting = asyncio.create_task(whole(model, make_request(**FOREVER, max_tokens=500)))
    await until(lambda: model.activity().num_unfinished == 1)

    waiting.cancel()
    await asyncio.wait([waiting])

    assert waiting.cancelled()
    assert model.activity().num_unfinished == 0
    await until(lambda: num_running_in_the_core() == 0)


async def test_the_prefix_of_a_prompt_comes_from_the_cache(model: VllmModel) -> None:
    messages = [{"role": "user", "content": "The tower was built in 1889. " * 20}]

    for _ in range(2):
        response = await whole(model, chat(messages=messages, max_tokens=2))

    assert response["usage"]["prompt_tokens_details"]["cached_tokens"] > 100
