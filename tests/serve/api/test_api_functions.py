"""Function tools beside documents, by the official clients: a language model over HTTP calls them, or answers."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion

from models.errors.model_failures import ModelUnavailableError
from tests.calling_model import answer_by_rule, calling_generator, sent_bodies
from tests.remote_server import ScriptedServer, chunk, scripted_server
from tests.serve.api.api_samples import URL, error_of
from tests.serve.api.response_samples import Service, events_of, serving

HOT = "How hot does the oven get?"
USER = {"role": "user", "content": HOT}
SEARCH = {"type": "file_search", "vector_store_ids": ["default"]}
SCHEMA = {"type": "object", "properties": {"device": {"type": "string"}}, "required": ["device"]}


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": "Reads it.", "parameters": SCHEMA}}


THERMOMETER, CLOCK = function("thermometer"), function("clock")
FLAT = {"type": "function", "name": "thermometer", "parameters": SCHEMA}


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as scripted:
        yield scripted


@pytest.fixture
async def service(tmp_path: Path, server: ScriptedServer) -> AsyncIterator[Service]:
    server.requests.clear()
    async with calling_generator(server) as generator, serving(tmp_path, generator=generator) as started:
        yield started


@pytest.fixture
async def chat(service: Service) -> AsyncIterator[Any]:
    async with service.openai_client() as client:
        yield client.chat.completions


def result_of(call: Any, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call.id, "content": text}


async def test_a_model_calls_functions_and_answers_from_documents_and_results(
    chat: Any, server: ScriptedServer
) -> None:
    request = {"model": "ragserve", "tools": [SEARCH, THERMOMETER, CLOCK]}

    called = await chat.create(messages=[USER], **request)
    calls = called.choices[0].message.tool_calls
    results = [result_of(calls[0], "It reads 180."), result_of(calls[1], "It is noon.")]
    answered = await chat.create(messages=[USER, called.choices[0].message.model_dump(), *results], **request)

    assert [(call.function.name, call.function.arguments) for call in calls] == [
        ("thermometer", '{"device": "oven"}'),
        ("clock", '{"device": "oven"}'),
    ]
    assert (called.choices[0].finish_reason, called.choices[0].message.content) == ("tool_calls", None)
    message = answered.choices[0].message
    assert message.content == "It reads 180. It is noon. The oven heats to 250 degrees. [1]"
    assert answered.choices[0].finish_reason == "stop"
    assert answered.citations[0]["filename"] == "ovens.md"
    assert answered.unsupported == []  # what a function returned is support, too
    first, second = sent_bodies(server)
    assert "250 degrees" in first["messages"][0]["content"]
    assert [each["role"] for each in second["messages"]] == ["system", "user", "assistant", "tool", "tool"]
    assert second["messages"][2]["tool_calls"] == [call.model_dump() for call in calls]
    ChatCompletion.model_validate(called.model_dump(), strict=False)


async def test_a_call_is_streamed_in_pieces(chat: Any) -> None:
    stream = await chat.create(model="ragserve", messages=[USER], tools=[THERMOMETER], stream=True)
    chunks = [chunk.choices[0] async for chunk in stream]

    pieces = [piece for chunk in chunks for piece in chunk.delta.tool_calls or ()]
    assert (pieces[0].id is not None, pieces[0].function.name) == (True, "thermometer")
    assert "".join(piece.function.arguments for piece in pieces) == '{"device": "oven"}'
    assert chunks[-1].finish_reason == "tool_calls"


async def test_the_clients_own_runner_of_functions_gathers_the_stream(service: Service) -> None:
    async with (
        service.openai_client() as client,
        client.chat.completions.stream(model="ragserve", messages=[USER], tools=[THERMOMETER, CLOCK]) as stream,
    ):
        final = await stream.get_final_completion()

    names = [call.function.name for call in final.choices[0].message.tool_calls or ()]
    assert names == ["thermometer", "clock"]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"tool_choice": "auto"}, ["thermometer", "clock"]),
        ({"tool_choice": "none"}, []),
        ({"tool_choice": "required", "parallel_tool_calls": False}, ["thermometer"]),
        ({"tool_choice": {"type": "function", "function": {"name": "clock"}}}, ["clock"]),
    ],
    ids=["auto", "none", "required-one", "named"],
)
async def test_the_choice_of_functions_is_the_requests(chat: Any, fields: dict[str, Any], names: list[str]) -> None:
    answer = await chat.create(model="ragserve", messages=[USER], tools=[THERMOMETER, CLOCK], **fields)

    assert [call.function.name for call in answer.choices[0].message.tool_calls or ()] == names


async def test_results_of_earlier_questions_stay_in_the_conversation(chat: Any, server: ScriptedServer) -> None:
    called = (await chat.create(model="ragserve", messages=[USER], tools=[THERMOMETER])).choices[0].message
    history = [
        USER,
        called.model_dump(),
        result_of(called.tool_calls[0], "180"),
        {"role": "assistant", "content": "Hot."},
    ]

    await chat.create(
        model="ragserve", messages=[*history, {"role": "user", "content": "And now?"}], tools=[THERMOMETER]
    )

    roles = [message["role"] for message in list(sent_bodies(server))[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]


async def test_a_question_beyond_the_documents_still_reaches_the_functions(chat: Any) -> None:
    question = {"role": "user", "content": "Who composed the Moldau?"}
    for messages in ([question], [{"role": "user", "content": "Hello!"}]):
        answer = await chat.create(model="ragserve", messages=messages, tools=[THERMOMETER])
        assert answer.choices[0].message.tool_calls, messages


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [THERMOMETER], "tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"tools": [SEARCH, SEARCH]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "has space"}}]}, "tools.0.function.name"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools.0"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"messages": [{"role": "tool", "tool_call_id": "c", "content": "21"}], "tools": [THERMOMETER]}, "messages"),
        ({"messages": [USER, {"role": "assistant", "content": "Hm."}], "tools": [THERMOMETER]}, "messages"),
    ],
)
async def test_what_does_not_fit_together_is_refused_by_name(
    service: Service, fields: dict[str, Any], param: str
) -> None:
    async with service.http() as http:
        response = await http.post("/v1/chat/completions", json={"messages": [USER], **fields})

    assert error_of(response)[::2] == (422, param), response.text


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages.0.content.0.tool_use_id"),
    ],
)
async def test_a_wrong_tool_of_a_message_is_refused_by_name(
    service: Service, fields: dict[str, Any], param: str
) -> None:
    async with service.http() as http:
        response = await http.post("/v1/messages", json={"messages": [USER], "max_tokens": 9, **fields})

    assert error_of(response)[::2] == (422, param), response.text


async def test_functions_that_fill_the_window_are_refused_by_name(service: Service) -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "word " * 10_000}}]
    async with service.http() as http:
        response = await http.post("/v1/chat/completions", json={"messages": [USER], "tools": tools})

    assert error_of(response)[::2] == (422, "tools")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_is_cut_is_an_error(service: Service, server: ScriptedServer, stream: bool) -> None:
    piece = {"index": 0, "id": "c", "function": {"name": "thermometer", "arguments": '{"dev'}}
    server.script = [[chunk("") | {"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]}, None]]
    async with service.http() as http:
        body = {"messages": [USER], "tools": [THERMOMETER], "stream": stream}
        response = await http.post("/v1/chat/completions", json=body)

    assert "model_unavailable" in response.text
    assert response.status_code == (200 if stream else 503)


async def test_an_answer_quotes_while_the_model_is_down(chat: Any, server: ScriptedServer) -> None:
    server.script = [503]
    request = {"model": "ragserve", "messages": [USER], "tools": [THERMOMETER]}

    answer = await chat.create(**request)
    with pytest.raises(openai.InternalServerError) as raised:
        await chat.create(**request, tool_choice="required")
    server.script = [answer_by_rule]

    assert "250 degrees. [1]" in answer.choices[0].message.content
    assert (answer.degraded, answer.ignored) == (["generate"], ["tools"])
    assert raised.value.code == ModelUnavailableError.code


async def test_a_response_calls_functions_beside_a_file_search(service: Service) -> None:
    async with service.openai_client() as client:
        request = {"model": "ragserve", "tools": [SEARCH, FLAT]}
        called = await client.responses.create(input=HOT, **request)
        search, call = called.output
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "It reads 180."}
        events = await events_of(
            await client.responses.create(input=[output], previous_response_id=called.id, stream=True, **request)
        )

    assert (search.type, call.type, call.name, json.loads(call.arguments)) == (
        "file_search_call",
        "function_call",
        "thermometer",
        {"device": "oven"},
    )
    last = events[-1].response
    assert last.output_text == "It reads 180. The oven heats to 250 degrees. [1]"
    assert last.output[1].content[0].annotations[0].filename == "ovens.md"


async def test_the_clients_message_tools_are_called(service: Service) -> None:
    transport = httpx2.ASGITransport(app=service.app)
    tools = [{"name": "thermometer", "description": "Reads it.", "input_schema": SCHEMA}]
    request = {"model": "ragserve", "max_tokens": 100, "tools": tools}
    http_client = anthropic.DefaultAsyncHttpxClient(transport=transport)
    async with anthropic.AsyncAnthropic(base_url=URL, api_key="any", http_client=http_client) as client:
        called = await client.messages.create(messages=[USER], **request)
        (use,) = called.content
        result = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "It reads 180."}]}
        history = [USER, {"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
        async with client.messages.stream(messages=history, **request) as stream:
            answered = await stream.get_final_message()
        async with client.messages.stream(messages=[USER], **request) as stream:
            streamed = await stream.get_final_message()

    assert (called.stop_reason, use.name, use.input) == ("tool_use", "thermometer", {"device": "oven"})
    assert answered.content[0].text == "It reads 180. The oven heats to 250 degrees. [1]"
    assert answered.content[0].citations[0].document_title == "ovens.md"
    assert [(block.name, block.input) for block in streamed.content] == [(use.name, use.input)]


async def test_tokens_are_counted_with_functions_and_history(service: Service) -> None:
    async with service.openai_client() as client:
        first = await client.responses.create(model="ragserve", input=HOT)
        alone = await client.responses.input_tokens.count(model="ragserve", input=HOT)
        continuing = await client.responses.input_tokens.count(input=HOT, previous_response_id=first.id, tools=[FLAT])
    async with service.http() as http:
        tools = [{"name": "thermometer", "input_schema": SCHEMA}]
        body = {"messages": [USER], "system": "Be kind.", "model": "ragserve"}
        messages = [
            (await http.post("/v1/messages/count_tokens", json=body | extra)).json()["input_tokens"]
            for extra in ({}, {"tools": tools})
        ]
        unknown = await http.post("/v1/responses/input_tokens", json={"input": HOT, "model": "gpt-none"})

    assert alone.input_tokens == len(HOT) // 3 + 8  # the estimate of a model behind a URL
    assert continuing.input_tokens > 2 * alone.input_tokens
    assert alone.input_tokens < messages[0] < messages[1]
    assert error_of(unknown) == (404, "model_not_found", "model")


async def test_a_model_that_quotes_counts_words(tmp_path: Path) -> None:
    async with serving(tmp_path) as service, service.openai_client() as client:
        counted = await client.responses.input_tokens.count(input=HOT, instructions="Be kind.")

    assert counted.input_tokens == 8


async def test_a_model_that_quotes_names_what_to_set(tmp_path: Path) -> None:
    async with serving(tmp_path) as service, service.http() as http:
        chat = {"messages": [USER], "tools": [THERMOMETER]}
        refused = [
            await http.post("/v1/chat/completions", json=chat),
            await http.post("/v1/responses", json={"input": HOT, "instructions": "Be kind.", "tools": [FLAT]}),
            await http.post(
                "/v1/messages",
                json={"messages": [USER], "max_tokens": 9, "tools": [{"name": "f", "input_schema": SCHEMA}]},
            ),
        ]
        ignored = (await http.post("/v1/chat/completions", json=chat | {"extra": "ignore"})).json()

    for response in refused:
        assert response.status_code == 422
        assert "calls no functions" in response.text
        assert "user_config.model of the Generator" in response.text
    assert "250 degrees" in ignored["choices"][0]["message"]["content"]
    assert ignored["ignored"] == ["tools"]
