"""Generation by a real vLLM engine in its replica: streaming, a swap under load, and disconnects."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from serve.cli.remote import RemoteService
from tests.conftest import Service, restored_afterwards
from tests.e2e.disconnecting_client import post_without_reading, watched
from tests.e2e.querying_clients import Answer, clients, stage, swap, wait_for_answer_by
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.ray, pytest.mark.vllm, pytest.mark.slow]


@dataclass(frozen=True)
class Swapped:
    """The service with the tiny Llama as its generator, and what clients saw before and while it started."""

    service: Service
    store: str
    refused: dict[str, Any]  # the stage after a model that cannot be loaded
    answers_meanwhile: list[Answer]
    answers: list[Answer]


@pytest.fixture(scope="module")
def swapped(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swapped]:
    path: Path = tmp_path_factory.mktemp("llm") / "tides.md"
    path.write_text("# Tides\n\nThe spring tide comes twice a month.\n")
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="-") as client, RemoteService(service.url) as remote:
        store = client.vector_stores.create(name="tides").id
        for name in (store, "default"):
            remote.ingest(path, "tides.md", name)
    with restored_afterwards(service):
        with clients(service, store) as meanwhile:
            swap(service, "Generator", model="absent-llama", swap="in_turn")
            refused = stage(service, "generate")
        with clients(service, store) as answers:
            swap(service, "Generator", model="tiny-llama", swap="beside")
            wait_for_answer_by(answers, "generate", "tiny-llama")
        yield Swapped(service, store, refused, meanwhile, answers)


@pytest.fixture(scope="module")
def llm(swapped: Swapped) -> Service:
    return swapped.service


@pytest.fixture
def client(llm: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{llm.url}/v1", api_key="unused", max_retries=0, timeout=PATIENCE_S) as opened:
        yield opened


def ask(service: Service) -> httpx.Response:
    body = {"query": "When does the spring tide come?", "max_tokens": 16}
    return httpx.post(f"{service.url}/v1/query", json=body, timeout=PATIENCE_S, trust_env=False)


def test_a_model_that_cannot_be_loaded_leaves_the_old_one(swapped: Swapped) -> None:
    assert swapped.refused["model"] == "extractive"
    assert "absent-llama" in swapped.refused["error"]
    assert {answer.status_code for answer in swapped.answers_meanwhile} == {200}


def test_no_request_fails_while_the_engine_starts(swapped: Swapped) -> None:
    assert {answer.status_code for answer in swapped.answers} == {200}
    # Both models are there while one replaces the other, so nothing is degraded.
    assert {answer.degraded for answer in swapped.answers} == {()}
    assert {answer.models["generate"] for answer in swapped.answers} == {"extractive", "tiny-llama"}


MESSAGES = [{"role": "user", "content": "When does the spring tide come?"}]
TOO_LONG = [{"role": "user", "content": "tide " * 70_000}]  # a token a word, or more; the engine takes 65,536


def test_tokens_stream_from_the_engine(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="ragserve", messages=MESSAGES, max_tokens=64, stream=True, stream_options={"include_usage": True}
    )

    chunks = list(stream)

    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(texts) > 1
    assert chunks[-1].usage.completion_tokens == 64
    assert chunks[-2].models["generate"] == "tiny-llama"
    assert chunks[-2].choices[0].finish_reason == "length"


def test_the_native_call_names_the_model_and_counts_tokens(llm: Service) -> None:
    answer = ask(llm).json()

    assert answer["models"]["generate"] == "tiny-llama"
    assert answer["usage"]["completion_tokens"] == 16
    assert answer["passages"]
    assert answer["degraded"] == []


def test_a_stop_string_ends_the_answer(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="ragserve", messages=MESSAGES, max_tokens=64).choices[0].message
    stop = whole.content[5:8]

    stopped = client.chat.completions.create(model="ragserve", messages=MESSAGES, max_tokens=64, stop=stop)

    assert stopped.choices[0].finish_reason == "stop"
    assert stop not in stopped.choices[0].message.content


DISCONNECTING = {
    "query": ("/v1/query", {"query": "tide?"}),
    "documents": ("/v1/chat/completions", {"messages": MESSAGES}),
    "chat": ("/v1/chat/completions", {"messages": MESSAGES, "model": "tiny-llama", "ignore_eos": True}),
    "completion": ("/v1/completions", {"prompt": "The tide", "model": "tiny-llama", "ignore_eos": True}),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("request_name", DISCONNECTING)
async def test_a_disconnect_frees_the_engine(llm: Service, request_name: str, stream: bool) -> None:
    path, body = DISCONNECTING[request_name]
    # The longest answer that the API allows: it is still under way whenever a slow client comes to leave.
    body = body | {"stream": stream, "max_tokens": 32_768}
    async with watched(llm.url, "generate") as engine:
        num_before = await engine.num_cancelled()
        connection = await post_without_reading(llm.url, path, body)
        await engine.until_unfinished(lambda count: count == 1)

        connection.close()
        await connection.wait_closed()

        await engine.until_cancelled(num_before + 1)
        await engine.until_unfinished(lambda count: count == 0)


def test_a_too_long_conversation_is_an_invalid_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.chat.completions.create(
            model="ragserve", messages=[{"role": "user", "content": "tide " * 2500}], max_tokens=8
        )

    assert caught.value.code == "invalid_request"


def test_plain_chat_uses_no_documents(client: openai.OpenAI) -> None:
    fields = {"model": "tiny-llama", "messages": MESSAGES, "max_tokens": 24, "temperature": 0}

    whole = client.chat.completions.create(**fields, logprobs=True)
    chunks = list(client.chat.completions.create(**fields, stream=True, stream_options={"include_usage": True}))

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert whole.model == "tiny-llama"
    assert text == whole.choices[0].message.content
    assert len(whole.choices[0].logprobs.content) == whole.usage.completion_tokens
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert not hasattr(whole, "citations")


def test_a_prompt_is_continued(client: openai.OpenAI) -> None:
    fields = {"model": "tiny-llama", "prompt": "The spring tide", "max_tokens": 12, "temperature": 0}

    whole = client.completions.create(**fields)
    chunks = list(client.completions.create(**fields, stream=True))

    assert whole.object == "text_completion"
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text


def test_an_adapter_answers_with_and_without_documents(client: openai.OpenAI) -> None:
    fields = {"messages": MESSAGES, "max_tokens": 24, "temperature": 0}
    stores = {"vector_store_ids": ["default"]}

    plain = [client.chat.completions.create(model=name, **fields) for name in ("tiny-llama", "tiny-law")]
    from_documents = [
        client.chat.completions.create(model=name, extra_body=stores, **fields) for name in ("tiny-llama", "tiny-law")
    ]

    assert [answer.model for answer in plain] == ["tiny-llama", "tiny-law"]
    assert client.models.retrieve("tiny-law").parent == "tiny-llama"
    for base, adapted in (plain, from_documents):
        assert base.choices[0].message.content != adapted.choices[0].message.content
    assert all(answer.passages and not answer.degraded for answer in from_documents)


def test_an_answer_from_documents_follows_its_schema(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"tides": {"type": "array", "items": {"enum": [1, 2]}, "minItems": 1, "maxItems": 1}},
        "required": ["tides"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "tides", "schema": schema}}

    answer = client.chat.completions.create(
        model="ragserve", messages=MESSAGES, response_format=form, max_tokens=400, temperature=1, seed=1
    )

    assert json.loads(answer.choices[0].message.content)["tides"] in ([1], [2])
    # A number may stand in a passage by chance.
    assert {*answer.field_citations, *answer.unsupported_fields} == {"/tides/0"}
    assert bool(answer.citations) == bool(answer.field_citations)
    assert answer.passages


@pytest.mark.parametrize("mode", ["refine", "tree_summarize"])
def test_an_answer_in_steps_counts_the_tokens_of_all_its_calls(client: openai.OpenAI, mode: str) -> None:
    fields = {"model": "ragserve", "messages": MESSAGES, "max_tokens": 8}

    whole = client.chat.completions.create(**fields)
    stepwise = client.chat.completions.create(**fields, extra_body={"response_mode": mode, "language": "de"})

    assert stepwise.degraded == []
    assert stepwise.prompt == whole.prompt == "default@1"
    has_steps = len(stepwise.passages) > (1 if mode == "refine" else 2)
    assert not has_steps or stepwise.usage.prompt_tokens > whole.usage.prompt_tokens


def test_a_tool_is_called(client: openai.OpenAI) -> None:
    parameters = {"type": "object", "properties": {"day": {"enum": ["Monday", "Friday"]}}, "required": ["day"]}
    function = {"name": "tide_on", "strict": True, "parameters": parameters | {"additionalProperties": False}}
    tool = {"type": "function", "function": function}

    answer = client.chat.completions.create(
        model="tiny-llama",
        messages=MESSAGES,
        tools=[tool],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=300,
        seed=1,
    )

    call = answer.choices[0].message.tool_calls[0].function
    assert call.name == "tide_on"
    assert json.loads(call.arguments)["day"] in ("Monday", "Friday")


def test_a_response_calls_a_function_and_continues_with_its_result(client: openai.OpenAI) -> None:
    parameters = {"type": "object", "properties": {"day": {"enum": ["Monday", "Friday"]}}, "required": ["day"]}
    tool = {"type": "function", "name": "tide_on", "strict": True}
    tool |= {"parameters": parameters | {"additionalProperties": False}}
    fields = {"model": "tiny-llama", "tools": [tool], "parallel_tool_calls": False, "max_output_tokens": 300}

    events = list(client.responses.create(input="When?", tool_choice="required", stream=True, **fields))
    first = events[-1].response
    (call,) = [item for item in first.output if item.type == "function_call"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "twice a month"}
    second = client.responses.create(
        input=[result], previous_response_id=first.id, model="tiny-llama", max_output_tokens=16
    )

    assert events[-1].type == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "response.function_call_arguments.done" in [event.type for event in events]
    assert (call.name, json.loads(call.arguments)["day"] in ("Monday", "Friday")) == ("tide_on", True)
    assert second.usage.input_tokens > first.usage.input_tokens > 0
    assert second.output[0].type == "message"


def test_a_response_from_documents_follows_a_schema(client: openai.OpenAI, swapped: Swapped) -> None:
    day = {"type": "object", "properties": {"day": {"enum": ["Monday", "Friday"]}}, "required": ["day"]}
    schema = {"type": "json_schema", "name": "tide", "schema": day | {"additionalProperties": False}, "strict": True}

    response = client.responses.create(
        model="ragserve",
        input="When does the spring tide come?",
        tools=[{"type": "file_search", "vector_store_ids": [swapped.store]}],
        text={"format": schema},
        instructions="Answer in one word.",
    )

    # A model with random weights may write blanks until its text is cut.
    assert response.output_text.split()[0].startswith("{")
    assert response.text.format.schema_ == schema["schema"]
    assert response.ignored == []


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_request_that_the_engine_refuses_is_invalid(client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="maximum context length"):
        client.chat.completions.create(model="tiny-llama", messages=TOO_LONG, max_tokens=8, stream=stream)


def test_a_model_that_is_not_served_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="tiny-llama"):
        client.chat.completions.create(model="qwen3-4b", messages=MESSAGES)


def test_no_request_fails_while_engines_are_swapped_in_turn(swapped: Swapped) -> None:
    if stage(swapped.service, "generate")["model"] != "tiny-llama":  # this test ran before, and failed
        swap(swapped.service, "Generator", model="tiny-llama", swap="in_turn")
    with clients(swapped.service, swapped.store) as answers:
        wait_for_answer_by(answers, "generate", "tiny-llama")
        swap(swapped.service, "Generator", model="other-llama", swap="in_turn")
        wait_for_answer_by(answers, "generate", "other-llama")

    assert {answer.status_code for answer in answers} == {200}
    # Quotes replace the engine only when the old one must stop before the new one starts. Then degraded says so.
    assert {answer.degraded for answer in answers} == {(), ("generate",)}
    assert {answer.models["generate"] for answer in answers} == {"extractive", "tiny-llama", "other-llama"}
