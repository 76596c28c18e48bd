"""Generation by a real vLLM engine inside its replica: streamed, swapped in by one line, freed when the client goes."""

import asyncio
import copy
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from serve.remote import RemoteService
from tests.conftest import Service

pytestmark = [pytest.mark.ray, pytest.mark.vllm, pytest.mark.slow]


DURING_THE_SWAP: list[httpx.Response] = []


@pytest.fixture(scope="module")
def llm(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service with the tiny Llama as its generator, which is one line of its file; put back afterwards."""
    before = copy.deepcopy(service.raw)
    path: Path = tmp_path_factory.mktemp("llm") / "tides.md"
    path.write_text("# Tides\n\nThe spring tide comes twice a month.\n")
    with RemoteService(service.url) as remote:
        remote.ingest(path, "tides.md", "default")
    service.deployment("Generator")["user_config"]["model"] = "tiny-llama"
    with ThreadPoolExecutor(1) as pool:
        swap = pool.submit(service.apply)
        while not swap.done():
            DURING_THE_SWAP.append(ask(service))
    swap.result()
    yield service
    service.raw.clear()
    service.raw.update(before)
    service.apply()


@pytest.fixture
def client(llm: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{llm.url}/v1", api_key="unused", max_retries=0, timeout=120) as made:
        yield made


def ask(service: Service) -> httpx.Response:
    body = {"query": "When does the spring tide come?", "max_tokens": 16}
    return httpx.post(f"{service.url}/v1/query", json=body, timeout=120, trust_env=False)


def test_no_request_fails_while_the_engine_starts(llm: Service) -> None:
    statuses = {response.status_code for response in DURING_THE_SWAP}
    bodies = [response.json() for response in DURING_THE_SWAP]

    assert statuses == {200}
    # Quoted answers fill the gap, and say so.
    assert {tuple(body["degraded"]) for body in bodies} <= {(), ("generate",)}
    assert {body["models"]["generate"] for body in bodies} <= {"extractive", "tiny-llama"}
    assert any("twice a month" in body["answer"] for body in bodies)


MESSAGES = [{"role": "user", "content": "When does the spring tide come?"}]


def test_tokens_stream_from_the_engine(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="tiny-llama", messages=MESSAGES, max_tokens=64, stream=True, stream_options={"include_usage": True}
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
    whole = client.chat.completions.create(model="tiny-llama", messages=MESSAGES, max_tokens=64).choices[0].message
    stop = whole.content[5:8]

    stopped = client.chat.completions.create(model="tiny-llama", messages=MESSAGES, max_tokens=64, stop=stop)

    assert stopped.choices[0].finish_reason == "stop"
    assert stop not in stopped.choices[0].message.content


async def engine_reaches(num_unfinished: int, http: httpx.AsyncClient, limit_s: float) -> None:
    """Returns once the engine works on so many requests; fails after `limit_s`."""
    async with asyncio.timeout(limit_s):
        # The engine is in another process: there is nothing here to wait on.
        while (await http.get("/readyz")).json()["stages"]["generate"]["unfinished"] != num_unfinished:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("path", ["/v1/query", "/v1/chat/completions"])
async def test_a_client_that_disconnects_frees_the_engine_within_a_second(
    llm: Service, path: str, stream: bool
) -> None:
    # Some three seconds' worth of tokens, so that only an abort ends it within one.
    body = {"stream": stream, "max_tokens": 1700}
    body |= {"query": "tide?"} if path == "/v1/query" else {"messages": MESSAGES}
    async with httpx.AsyncClient(base_url=llm.url, timeout=120, trust_env=False) as http:
        connection = await post_without_reading(llm.url, path, json.dumps(body).encode())
        await engine_reaches(1, http, limit_s=30)

        connection.close()
        await connection.wait_closed()

        await engine_reaches(0, http, limit_s=1)


async def post_without_reading(url: str, path: str, body: bytes) -> asyncio.StreamWriter:
    """A request on a bare connection: closing it is hanging up, whereas client libraries may keep a socket open."""
    parts = urlsplit(url)
    _, connection = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.write(head.encode() + body)
    await connection.drain()
    return connection


def test_a_conversation_that_is_too_long_is_the_callers_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.chat.completions.create(
            model="tiny-llama", messages=[{"role": "user", "content": "tide " * 2500}], max_tokens=8
        )

    assert caught.value.code == "invalid_request"
