"""Generation by a real vLLM engine in its replica: streaming, a swap under load, and disconnects."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from serve.cli.remote import RemoteService
from tests.conftest import Service, restored_afterwards

pytestmark = [pytest.mark.ray, pytest.mark.vllm, pytest.mark.slow]


RESPONSES_DURING_SWAP: list[httpx.Response] = []


@pytest.fixture(scope="module")
def llm(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service with the tiny Llama as its generator, restored afterwards."""
    path: Path = tmp_path_factory.mktemp("llm") / "tides.md"
    path.write_text("# Tides\n\nThe spring tide comes twice a month.\n")
    with RemoteService(service.url) as remote:
        remote.ingest(path, "tides.md", "default")
    with restored_afterwards(service):
        service.deployment("Generator")["user_config"]["model"] = "tiny-llama"
        with ThreadPoolExecutor(1) as pool:
            swap = pool.submit(service.apply)
            while not swap.done():
                RESPONSES_DURING_SWAP.append(ask(service))
        swap.result()
        yield service


@pytest.fixture
def client(llm: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{llm.url}/v1", api_key="unused", max_retries=0, timeout=120) as opened:
        yield opened


def ask(service: Service) -> httpx.Response:
    body = {"query": "When does the spring tide come?", "max_tokens": 16}
    return httpx.post(f"{service.url}/v1/query", json=body, timeout=120, trust_env=False)


def test_no_request_fails_while_the_engine_starts(llm: Service) -> None:
    statuses = {response.status_code for response in RESPONSES_DURING_SWAP}
    bodies = [response.json() for response in RESPONSES_DURING_SWAP]

    assert statuses == {200}
    # Extractive answers replace the engine until it runs, and are marked as degraded.
    assert {tuple(body["degraded"]) for body in bodies} <= {(), ("generate",)}
    assert {body["models"]["generate"] for body in bodies} <= {"extractive", "tiny-llama"}
    assert any("twice a month" in body["answer"] for body in bodies)


MESSAGES = [{"role": "user", "content": "When does the spring tide come?"}]


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


async def wait_until_unfinished(num_unfinished: int, http: httpx.AsyncClient, limit_s: float) -> None:
    """Wait until the engine has `num_unfinished` requests; fail after `limit_s`."""
    async with asyncio.timeout(limit_s):
        # The engine is in another process, so there is no event to wait for.
        while (await http.get("/readyz")).json()["stages"]["generate"]["unfinished"] != num_unfinished:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


DISCONNECTING = {
    "query": ("/v1/query", {"query": "tide?"}),
    "documents": ("/v1/chat/completions", {"messages": MESSAGES}),
    "chat": ("/v1/chat/completions", {"messages": MESSAGES, "model": "tiny-llama", "ignore_eos": True}),
    "completion": ("/v1/completions", {"prompt": "The tide", "model": "tiny-llama", "ignore_eos": True}),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("request_name", DISCONNECTING)
async def test_a_disconnect_frees_the_engine_within_a_second(llm: Service, request_name: str, stream: bool) -> None:
    path, body = DISCONNECTING[request_name]
    # About three seconds of tokens, so only an abort can end it within one.
    body = body | {"stream": stream, "max_tokens": 1700}
    async with httpx.AsyncClient(base_url=llm.url, timeout=120, trust_env=False) as http:
        connection = await post_without_reading(llm.url, path, json.dumps(body).encode())
        await wait_until_unfinished(1, http, limit_s=30)

        connection.close()
        await connection.wait_closed()

        await wait_until_unfinished(0, http, limit_s=1)


async def post_without_reading(url: str, path: str, body: bytes) -> asyncio.StreamWriter:
    """Send a request on a plain connection, because client libraries may keep a socket open."""
    address = urlsplit(url)
    _, connection = await asyncio.open_connection(address.hostname, address.port)
    head = f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.write(head.encode() + body)
    await connection.drain()
    return connection


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
    assert answer.citations == []
    assert answer.passages


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


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_request_that_the_engine_refuses_is_invalid(client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="maximum context length"):
        client.chat.completions.create(
            model="tiny-llama", messages=[{"role": "user", "content": "tide " * 2500}], max_tokens=8, stream=stream
        )


def test_a_model_that_is_not_served_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="tiny-llama"):
        client.chat.completions.create(model="qwen3-4b", messages=MESSAGES)
