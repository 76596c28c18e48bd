"""Servers of remote models that are slow, endless, too large or wrong: what each costs, and the error it becomes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from models.deadline import Deadline
from models.embedding.openai_model import OpenAIEmbeddingConfig, OpenAIEmbeddingModel
from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.model_failures import ModelUnavailableError
from models.errors.stages import DeadlineExceededError, StageUnavailableError
from models.generation.openai_model import OpenAIGenerationConfig, OpenAIModel, true_counts
from models.remote.origin import NOBODY, Origin, send_for
from models.reranking.base import RerankRequest
from models.reranking.offline import score
from models.reranking.remote_reranker import RemoteRerankerConfig
from models.reranking.tei_model import TeiModel
from models.types.chunks import Passage
from models.types.generation import ChatMessage, CompletionRequest, GenerationRequest
from tests.models.remote.raw_server import EVENTS, HEAD, RawServer, raw_server
from tests.patience import PATIENCE_S
from tests.remote_server import chunk

SHORT_S = 0.5
TEXT = "The tower is 40 metres tall."


@pytest.fixture
def server() -> Iterator[RawServer]:
    with raw_server() as raw:
        yield raw


@pytest.fixture(autouse=True)
def no_origin() -> Iterator[None]:
    yield
    send_for(NOBODY)


def embedder(url: str, **options: Any) -> OpenAIEmbeddingModel:
    config = {"base_url": url, "model": "m", "dim": 8, "max_retries": 0} | options
    return OpenAIEmbeddingModel("remote", OpenAIEmbeddingConfig(**config))


def json_of(body: object) -> Iterator[bytes]:
    content = json.dumps(body).encode()
    yield HEAD + b"content-length: %d\r\n\r\n" % len(content) + content


def vectors(*rows: object) -> dict[str, Any]:
    return {"object": "list", "data": [{"index": place, "embedding": row} for place, row in enumerate(rows)]}


def embed(model: OpenAIEmbeddingModel, budget_s: float = PATIENCE_S) -> RagError:
    send_for(Origin(Deadline.after(budget_s)))
    with model._client, pytest.raises(RagError) as caught:
        model.forward(model.tokenize_queries([TEXT]))
    return caught.value


async def generate(url: str, budget_s: float = PATIENCE_S, **options: Any) -> tuple[list[str], RagError | None]:
    """The texts that came, and the error after them."""
    config = {"base_url": url, "model": "m", "max_model_len": 8000, "max_retries": 0} | options
    model, texts, failure = OpenAIModel("remote", OpenAIGenerationConfig(**config)), list[str](), None
    passage = Passage(1, "c", "f", "f.md", TEXT, 0, len(TEXT))
    await model.start()
    send_for(Origin(Deadline.after(budget_s)))
    try:
        async for delta in model.stream(GenerationRequest("r", (ChatMessage("user", "How tall?"),), (passage,))):
            texts.append(delta.text)
    except RagError as error:
        failure = error
    finally:
        await model.stop()
    return texts, failure


def test_a_server_that_says_nothing_holds_a_thread_until_the_deadline(server: RawServer) -> None:
    server.answer = lambda: server.forever(b"")

    assert isinstance(embed(embedder(server.url, max_retries=2), SHORT_S), DeadlineExceededError)
    assert len(server.requests) <= 1  # none after the deadline


def test_a_server_that_drips_holds_a_thread_until_the_deadline(server: RawServer) -> None:
    def drip() -> Iterator[bytes]:
        yield HEAD + b"content-length: 1000000\r\n\r\n"
        yield from server.forever(b" ")

    server.answer = drip

    assert isinstance(embed(embedder(server.url), SHORT_S), DeadlineExceededError)


def test_nothing_is_sent_after_the_deadline(server: RawServer) -> None:
    server.answer = lambda: json_of(vectors([1.0] * 8))

    assert isinstance(embed(embedder(server.url), 0.0), DeadlineExceededError)
    assert not server.requests


def test_a_retry_that_would_wait_beyond_the_deadline_is_not_awaited(server: RawServer) -> None:
    head = b"HTTP/1.1 503 Busy\r\nretry-after: 100\r\ncontent-length: 0\r\n\r\n"
    server.answer = lambda: iter([head])

    refused = embed(embedder(server.url, max_retries=5), 60.0)

    assert str(refused) == "model 'remote' of the embed stage: its server answers with status 503; try again in 5 s"
    assert len(server.requests) == 1


def test_retries_are_a_share_of_the_requests_while_a_server_fails(server: RawServer) -> None:
    head = b"HTTP/1.1 503 Busy\r\nretry-after: 0.001\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    server.answer = lambda: iter([head])
    model = embedder(server.url, max_retries=2)

    with model._client:
        for _ in range(50):
            with pytest.raises(ModelUnavailableError):
                model.forward(model.tokenize_queries([TEXT]))

    num_retries = len(server.requests) - 50
    assert 64 <= num_retries <= 64 + 5  # the first ones, and one for ten requests


@pytest.mark.parametrize("is_chunked", [pytest.param(False, id="until it closes"), pytest.param(True, id="in chunks")])
def test_an_endless_answer_is_cut_at_its_limit(server: RawServer, is_chunked: bool) -> None:
    block = b" " * 65536

    def endless() -> Iterator[bytes]:
        yield HEAD + (b"transfer-encoding: chunked\r\n\r\n" if is_chunked else b"\r\n")
        part = b"10000\r\n" + block + b"\r\n" if is_chunked else block
        yield from server.forever(part, 0.0)

    server.answer = endless

    refused = embed(embedder(server.url, max_response_mb=1))

    assert "its server sent more than 1 MiB" in str(refused)
    assert isinstance(refused, ModelUnavailableError)


def test_a_compressed_answer_is_refused(server: RawServer) -> None:
    server.answer = lambda: iter([HEAD + b"content-encoding: gzip\r\ncontent-length: 4\r\n\r\nbomb"])

    assert "compresses answers unasked" in str(embed(embedder(server.url)))
    assert "accept-encoding: identity" in server.requests[0].lower()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"no json", "sent no JSON"),
        (b'{"error": "x"}', "another shape"),
        (b'{"data": [5]}', "another shape"),
        (b"[]", "another shape"),
        (json.dumps(vectors([1.0] * 8, [2.0] * 8)).encode(), "another number of vectors than 1"),
        (json.dumps(vectors([1.0] * 4)).encode(), "4 dimensions, but catalog.embedding.remote.options.dim is 8"),
        (json.dumps(vectors("text")).encode(), "not lists of numbers"),
        (json.dumps(vectors([[1.0] * 8])).encode(), "not lists of numbers"),
        (json.dumps(vectors([1.0] * 7 + [None])).encode(), "not finite"),
        (b'{"data": [{"index": 0, "embedding": [1e39,1,1,1,1,1,1,1]}]}', "not finite"),
    ],
)
def test_a_wrong_answer_names_the_model(server: RawServer, body: bytes, message: str) -> None:
    server.answer = lambda: iter([HEAD + b"content-length: %d\r\n\r\n" % len(body) + body])

    refused = embed(embedder(server.url))

    assert isinstance(refused, ModelUnavailableError)
    assert (refused.stage, refused.model) == ("embed", "remote")
    assert message in str(refused)
    assert "127.0.0.1" not in str(refused)


@pytest.mark.parametrize("body", [b"no json", b"{}", b"[]", b'[{"index": 0, "score": "high"}]', b'[{"index": 1}]'])
def test_a_wrong_answer_of_a_reranker_names_the_model(server: RawServer, body: bytes) -> None:
    server.answer = lambda: iter([HEAD + b"content-length: %d\r\n\r\n" % len(body) + body])
    model = TeiModel("remote", RemoteRerankerConfig(base_url=server.url, model="m", max_retries=0))

    with model._client, pytest.raises(ModelUnavailableError, match="model 'remote' of the rerank stage"):
        score(model, [RerankRequest("tower", (TEXT,))])


def event(content: object) -> bytes:
    return b"data: " + (content if isinstance(content, bytes) else json.dumps(content).encode()) + b"\n\n"


async def test_a_server_that_never_closes_its_stream_ends_no_answer_late(server: RawServer) -> None:
    def unclosed() -> Iterator[bytes]:
        yield EVENTS + event(chunk("It is tall. [1]")) + event(chunk("", "stop")) + event(b"[DONE]")
        yield from server.forever(b"")

    server.answer = unclosed

    texts, failure = await generate(server.url)

    assert ("".join(texts), failure) == ("It is tall. [1]", None)


async def test_a_stream_that_drips_ends_at_the_deadline(server: RawServer) -> None:
    def drip() -> Iterator[bytes]:
        yield EVENTS
        yield from server.forever(event(chunk("word ")))

    server.answer = drip

    texts, failure = await generate(server.url, SHORT_S)

    assert isinstance(failure, DeadlineExceededError)
    assert set("".join(texts).split()) <= {"word"}


async def test_an_endless_stream_is_cut_at_its_limit(server: RawServer) -> None:
    def endless() -> Iterator[bytes]:
        yield EVENTS + b"data: "
        yield from server.forever(b"x" * 65536, 0.0)

    server.answer = endless

    _, failure = await generate(server.url, max_response_mb=1)

    assert isinstance(failure, ModelUnavailableError)
    assert "more than 1 MiB" in str(failure)


@pytest.mark.parametrize(
    "content",
    [
        b"no json",
        5,
        {"choices": 5},
        {"choices": [{"delta": "x"}]},
        {"choices": [{"delta": {"content": 7}}]},
        {"choices": [{"delta": {"content": "\ud800"}}]},
        {},
    ],
)
async def test_a_wrong_stream_is_a_typed_error(server: RawServer, content: object) -> None:
    server.answer = lambda: iter([EVENTS + event(content)])

    texts, failure = await generate(server.url)

    assert texts == []
    assert isinstance(failure, StageUnavailableError)


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 12, "completion_tokens": 3}, (12, 3)),
        ({"prompt_tokens": 10**30, "completion_tokens": 10**30}, (8000, 8000)),
        ({"prompt_tokens": -(10**6), "completion_tokens": -1}, (0, 0)),
        ({"prompt_tokens": "many", "completion_tokens": None}, (0, 0)),
        ({"prompt_tokens": [1]}, (0, 0)),
        (["many"], (0, 0)),
    ],
)
async def test_tenants_are_charged_for_no_count_that_cannot_be_true(
    server: RawServer, usage: Any, counts: tuple[int, int]
) -> None:
    last = chunk("", "stop") | {"usage": usage}
    server.answer = lambda: iter([EVENTS + event(chunk("It is tall.")) + event(last) + event(b"[DONE]")])
    config = OpenAIGenerationConfig(base_url=server.url, model="m", max_model_len=8000, max_retries=0)
    model = OpenAIModel("remote", config)
    await model.start()
    send_for(Origin(Deadline.after(PATIENCE_S)))
    try:
        deltas = [each async for each in model.stream(GenerationRequest("r", (ChatMessage("user", "How tall?"),), ()))]
        body = {"model": "remote", "stream": True, "messages": [{"role": "user", "content": "How tall?"}]}
        chunks = [each async for each in model.complete(CompletionRequest("r", "chat", body))]
    finally:
        await model.stop()

    assert (deltas[-1].num_prompt_tokens, deltas[-1].num_completion_tokens) == counts
    assert chunks[-1]["usage"] == true_counts(usage, 8000)
    assert (chunks[-1]["usage"]["prompt_tokens"], chunks[-1]["usage"]["completion_tokens"]) == counts


@pytest.mark.parametrize(("reason", "problem"), [("stop", "its server sent an empty answer"), ("length", "None")])
async def test_an_empty_answer_is_a_failure_unless_it_was_cut(server: RawServer, reason: str, problem: str) -> None:
    server.answer = lambda: iter([EVENTS + event(chunk(" ")) + event(chunk("", reason)) + event(b"[DONE]")])

    texts, failure = await generate(server.url)

    assert "".join(texts).strip() == ""
    assert problem in str(failure)


@pytest.mark.parametrize(("header", "wait_s"), [(b"2", 2), (b"1e30", 3600), (b"inf", 1), (b"nan", 1), (b"-5", 0)])
async def test_a_server_asks_for_no_endless_wait(server: RawServer, header: bytes, wait_s: float) -> None:
    head = b"HTTP/1.1 429 Busy\r\nretry-after: " + header + b"\r\ncontent-length: 0\r\n\r\n"
    server.answer = lambda: iter([head])

    _, failure = await generate(server.url)

    assert isinstance(failure, OverloadedError)
    assert failure.retry_after_s == wait_s
