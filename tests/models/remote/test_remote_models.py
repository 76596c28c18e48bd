"""Models behind a URL: the remote is a second ragserve over real HTTP, and for its failures a scripted server."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from starlette.responses import Response

from deployments.embedder import Embedder
from deployments.replica.model_loader import ModelLoader
from deployments.reranker import Reranker
from models.catalog import Catalog
from models.embedding.hashing_model import HashingConfig, HashingModel
from models.embedding.offline import embed_documents, embed_queries
from models.embedding.openai_model import OpenAIEmbeddingConfig, OpenAIEmbeddingModel
from models.errors.base import RagError
from models.errors.configuration import ConfigError
from models.errors.limits import OverloadedError
from models.errors.model_failures import ModelLoadError, ModelUnavailableError, UnusableVectorError
from models.errors.requests import InvalidRequestError
from models.errors.stages import StageUnavailableError
from models.generation.openai_model import OpenAIGenerationConfig, OpenAIModel, estimate_tokens
from models.remote.rate_limit import RateLimit
from models.reranking.base import RerankRequest
from models.reranking.cohere_model import CohereModel
from models.reranking.jina_model import JinaModel
from models.reranking.offline import score
from models.reranking.remote_reranker import RemoteReranker, RemoteRerankerConfig
from models.reranking.tei_model import TeiModel
from models.types.chunks import Passage
from models.types.generation import ChatMessage, CompletionRequest, GenerationDelta, GenerationRequest, SamplingOptions
from tests.remote_server import ScriptedServer, chunk, scripted_server
from tests.serve.cli.ingest.listening import Listening, listening_in

TEXTS = ["The tower is 40 metres tall.", "Boats wait.", "The lock opens at six in the morning."]


@pytest.fixture(scope="module")
def ragserve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening_in(tmp_path_factory.mktemp("remote")) as listening:
        yield listening


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as scripted:
        yield scripted


@pytest.fixture
def scripted(server: ScriptedServer) -> ScriptedServer:
    """The server without what earlier tests did."""
    server.script, server.headers, server.pause_s, server.max_running = [], {}, 0.0, 0
    server.requests.clear()
    return server


def embedder(url: str, **options: Any) -> OpenAIEmbeddingModel:
    config = {"base_url": url, "model": "hashing", "dim": 512} | options
    return OpenAIEmbeddingModel("remote", OpenAIEmbeddingConfig(**config))


def test_vectors_are_those_of_the_remote_model(ragserve: Listening) -> None:
    model = embedder(f"{ragserve.url}/v1", max_inputs=2, document_prefix="tower ", revision="7")
    local = HashingModel("hashing", HashingConfig(dim=512))

    vectors = embed_documents(model, TEXTS)

    np.testing.assert_allclose(vectors, embed_documents(local, [f"tower {text}" for text in TEXTS]), atol=1e-6)
    np.testing.assert_allclose(embed_queries(model, TEXTS), embed_queries(local, TEXTS), atol=1e-6)
    assert model.generation == "remote@7"
    assert embedder(ragserve.url).generation == "remote@hashing"


def test_a_wrong_dimension_and_token_ids_are_refused(ragserve: Listening) -> None:
    with pytest.raises(ModelUnavailableError, match="512 dimensions") as wrong:
        embed_documents(embedder(f"{ragserve.url}/v1", dim=256), TEXTS)
    with pytest.raises(InvalidRequestError, match="not token ids"):
        embedder(f"{ragserve.url}/v1").tokenize_documents([[1, 2]])

    assert "catalog.embedding.remote.options.dim is 256" in str(wrong.value)


def test_token_ids_are_passed_on_where_the_client_has_the_models_tokenizer(scripted: ScriptedServer) -> None:
    scripted.script = [{"object": "list", "data": [{"index": 0, "embedding": [3.0] * 8}], "model": "m"}]
    model = embedder(scripted.url, dim=8, token_ids=True)

    vectors = model.forward(model.tokenize_documents([[9906, 1917], "text"]))

    assert [body["input"] for _, body in scripted.requests] == [[[9906, 1917]], ["text"]]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


GOOD = [0.0, 3.0, *[0.0] * 5, 4.0]


def embeddings_of(*rows: Any) -> Response:
    """OpenAI's answer with these rows. JSON has no NaN, but many servers write it."""
    return Response(json.dumps({"object": "list", "data": rows, "model": "m"}), media_type="application/json")


def serving_vector(vector: list[Any], text: str | None = None) -> Any:
    """A server's answers: `vector` for `text`, None: for each text; a good one for the others."""

    def answer(body: dict[str, Any]) -> Response:
        vectors = [vector if text in (None, each) else GOOD for each in body["input"]]
        return embeddings_of(*[{"index": place, "embedding": each} for place, each in enumerate(vectors)])

    return answer


UNUSABLE = {"zeros": 0.0, "nan": float("nan"), "null": None, "infinity": 1e39, "vanishing": 1e-60}


@pytest.mark.parametrize("number", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_text_whose_vector_no_search_can_use_fails_alone(scripted: ScriptedServer, number: float | None) -> None:
    scripted.script = [serving_vector([0.0] * 7 + [number], "bad")]
    model = embedder(scripted.url, dim=8)

    with pytest.raises(UnusableVectorError, match="'remote' gives no usable") as unusable:
        embed_documents(model, ["good", "bad"])

    assert unusable.value.code == "unusable_vector"
    np.testing.assert_allclose(embed_documents(model, ["good"]), [np.float32(GOOD) / 5], atol=1e-6)


@pytest.mark.parametrize("number", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_server_that_has_a_usable_vector_for_no_text_is_down(scripted: ScriptedServer, number: float | None) -> None:
    scripted.script = [serving_vector([0.0] * 7 + [number])]

    with pytest.raises(ModelUnavailableError, match="unusable vectors"):
        embed_documents(embedder(scripted.url, dim=8), TEXTS)


@pytest.mark.parametrize("length", [1e-40, 1e-20, 1e20, 5e37])
def test_vectors_of_any_length_become_unit_vectors(scripted: ScriptedServer, length: float) -> None:
    scripted.script = [serving_vector([length * number for number in GOOD])]

    vectors = embed_documents(embedder(scripted.url, dim=8), ["a"])

    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)


def test_vectors_go_to_the_texts_that_their_indices_name(scripted: ScriptedServer) -> None:
    one, two, three = ([0.0] * place + [1.0] + [0.0] * (7 - place) for place in range(3))
    rows = [{"index": 2, "embedding": three}, {"index": 0, "embedding": one}, {"index": 1, "embedding": two}]
    scripted.script = [embeddings_of(*rows)]
    model = embedder(scripted.url, dim=8)

    vectors = model.forward(model.tokenize_documents(TEXTS))

    np.testing.assert_array_equal(vectors, np.eye(3, 8))


PACKED = base64.b64encode(np.float32(GOOD).tobytes()).decode()
MISSHAPEN: dict[str, tuple[list[Any], str]] = {
    "too few": ([(0, GOOD)], "another number of vectors than 2"),
    "too many": ([(0, GOOD), (1, GOOD), (2, GOOD)], "another number of vectors than 2"),
    "one index twice": ([(0, GOOD), (0, GOOD)], "does not number its vectors from 0 to 1"),
    "from one": ([(1, GOOD), (2, GOOD)], "does not number its vectors from 0 to 1"),
    "no index": ([(None, GOOD), (None, GOOD)], "another shape"),
    "base64": ([(0, PACKED), (1, PACKED)], "not lists of numbers"),
    "strings": ([(0, ["0.5"] * 8), (1, GOOD)], "not lists of numbers"),
    "nested": ([(0, [GOOD]), (1, [GOOD])], "not lists of numbers"),
    "numbers": ([(0, 1.0), (1, 1.0)], "not lists of numbers"),
    "objects": ([(0, {"a": 1}), (1, {"a": 1})], "another shape"),
    "no vector": ([(0, None), (1, GOOD)], "another shape"),
    "other lengths": ([(0, GOOD), (1, GOOD[1:])], "another shape"),
    "a number of 400 digits": ([(0, GOOD), (1, [10**400, *GOOD[1:]])], "another shape"),
    "shorter": ([(0, GOOD[1:]), (1, GOOD[1:])], "options.dim is 8"),
}


@pytest.mark.parametrize(("rows", "reason"), MISSHAPEN.values(), ids=MISSHAPEN.keys())
def test_an_answer_without_a_vector_for_each_text_is_the_servers_failure(
    scripted: ScriptedServer, rows: list[Any], reason: str
) -> None:
    scripted.script = [embeddings_of(*[{"index": index, "embedding": vector} for index, vector in rows])]

    with pytest.raises(ModelUnavailableError, match=reason):
        embed_documents(embedder(scripted.url, dim=8), TEXTS[:2])


@pytest.mark.parametrize(
    ("kind", "path"), [(CohereModel, ""), (JinaModel, "/v1"), (TeiModel, "")], ids=["cohere", "jina", "tei"]
)
def test_scores_are_those_of_the_remote_reranker(ragserve: Listening, kind: type[RemoteReranker], path: str) -> None:
    options = {"base_url": ragserve.url + path, "model": "shortest-first", "max_texts": 2}
    model = kind("remote", RemoteRerankerConfig(**options))

    first, second = score(model, [RerankRequest("tower", tuple(TEXTS)), RerankRequest("lock", tuple(TEXTS[::-1]))])

    expected = np.float32([1 / (1 + len(text)) for text in TEXTS])  # the remote prefers short texts
    np.testing.assert_allclose(first, expected, rtol=1e-5)
    np.testing.assert_allclose(second, expected[::-1], rtol=1e-5)
    np.testing.assert_array_equal(model.to_relevance(first), first)


def generator(url: str, **options: Any) -> OpenAIModel:
    config = {"base_url": url, "model": "extractive", "max_model_len": 8000} | options
    return OpenAIModel("remote", OpenAIGenerationConfig(**config))


@pytest.fixture
async def quoting(ragserve: Listening) -> AsyncIterator[OpenAIModel]:
    model = generator(f"{ragserve.url}/v1")
    await model.start()
    yield model
    await model.stop()


def request(question: str = "How tall is the tower?", **sampling: Any) -> GenerationRequest:
    passages = tuple(Passage(n, f"c{n}", f"f{n}", f"{n}.md", text, 0, len(text)) for n, text in enumerate(TEXTS))
    return GenerationRequest("r", (ChatMessage("user", question),), passages, SamplingOptions(**sampling))


async def deltas_of(model: OpenAIModel, asking: GenerationRequest | None = None) -> list[GenerationDelta]:
    return [delta async for delta in model.stream(asking or request())]


async def test_an_answer_from_passages_is_the_remotes(quoting: OpenAIModel) -> None:
    deltas = await deltas_of(quoting)
    last = deltas[-1]

    assert "The tower is 40 metres tall." in "".join(delta.text for delta in deltas)
    assert last.finish_reason == "stop"
    assert last.num_prompt_tokens > 0
    assert last.num_completion_tokens > 0


async def test_a_chat_passes_through_under_the_alias(quoting: OpenAIModel) -> None:
    prompt = f"Context: {' '.join(TEXTS)}\nQuestion: How tall is the tower?\nAnswer:"
    body = {"model": "remote", "messages": [{"role": "user", "content": prompt}], "extra": "ignore"}
    whole = [answer async for answer in quoting.complete(CompletionRequest("r", "chat", body))]
    chunks = [answer async for answer in quoting.complete(CompletionRequest("r", "chat", body | {"stream": True}))]
    text = {"model": "remote", "prompt": prompt}
    (completion,) = [answer async for answer in quoting.complete(CompletionRequest("r", "completion", text))]

    content = whole[0]["choices"][0]["message"]["content"]
    assert "The tower is 40 metres tall. [1]" in content
    assert "".join(each["choices"][0]["delta"].get("content", "") for each in chunks) == content
    assert completion["choices"][0]["text"] == content
    assert {answer["model"] for answer in (*whole, *chunks, completion)} == {"remote"}
    assert whole[0]["citations"][0]["filename"] == "prompt"


async def failure_of(model: OpenAIModel, asking: GenerationRequest | None = None) -> RagError:
    await model.start()
    try:
        with pytest.raises(RagError) as caught:
            await deltas_of(model, asking)
        return caught.value
    finally:
        await model.stop()


async def test_what_the_remote_refuses_is_our_error(ragserve: Listening, scripted: ScriptedServer) -> None:
    unknown = await failure_of(generator(f"{ragserve.url}/v1", model="none"))
    nobody = await failure_of(generator("http://127.0.0.1:9/v1", max_retries=0, connect_s=1))
    scripted.script, scripted.headers = [429], {"retry-after": "0.01"}
    overloaded = await failure_of(generator(scripted.url, max_retries=1))
    scripted.script = [400]
    invalid = await failure_of(generator(scripted.url))

    assert isinstance(unknown, StageUnavailableError)  # the operator's mistake, not the caller's
    assert isinstance(nobody, StageUnavailableError)
    assert isinstance(overloaded, OverloadedError)
    assert overloaded.retry_after_s == 0.01
    assert isinstance(invalid, InvalidRequestError)
    assert invalid.param == "top_p"
    assert len(scripted.requests) == 3


WHOLE = [chunk("The tower "), chunk("is tall. [1]"), chunk("", "stop"), "[DONE]"]


async def test_it_tries_again_until_text_was_streamed(scripted: ScriptedServer) -> None:
    scripted.script, scripted.headers = [503, 429, WHOLE], {"retry-after": "0.01"}
    model = generator(scripted.url, max_retries=2)
    await model.start()
    deltas = await deltas_of(model)
    await model.stop()
    scripted.script, num_before = [[chunk("The tower "), None]], len(scripted.requests)
    cut = await failure_of(model)
    scripted.script = [[chunk("The tower "), "[DONE]"]]
    ended_early = await failure_of(model)

    assert "".join(delta.text for delta in deltas) == "The tower is tall. [1]"
    assert num_before == 3
    assert isinstance(cut, StageUnavailableError)
    assert isinstance(ended_early, StageUnavailableError)
    assert len(scripted.requests) == num_before + 2  # nothing was tried again


async def test_the_request_has_what_the_caller_chose(scripted: ScriptedServer) -> None:
    schema = {"type": "object", "properties": {"height": {"type": "integer"}}}
    scripted.script = [WHOLE]
    options = {"model": "gpt", "max_tokens": 50, "max_tokens_field": "max_completion_tokens", "temperature": None}
    model = generator(
        scripted.url,
        **options,
        api_key="secret",
        key_header="api-key",
        query={"api-version": "7"},
        headers={"x-a": "b"},
    )
    await model.start()
    deltas = await deltas_of(model, request(response_schema=schema, seed=3, presence_penalty=0.5, max_tokens=900))
    await model.stop()

    ((sent, body),) = scripted.requests
    assert (body["max_completion_tokens"], body["seed"], body["presence_penalty"], body["model"]) == (50, 3, 0.5, "gpt")
    assert "temperature" not in body
    assert body["response_format"]["json_schema"]["schema"] == schema
    assert (sent.headers["api-key"], sent.headers["x-a"], sent.query_params["api-version"]) == ("secret", "b", "7")
    assert "authorization" not in sent.headers
    assert deltas[0].marks == ()  # a number in brackets is no citation in JSON
    assert "secret" not in repr(model._config)


async def test_what_waits_is_one_message(scripted: ScriptedServer) -> None:
    words = [chunk(f"word{number} ") for number in range(200)]
    scripted.script = [[*words, chunk("", "stop"), "[DONE]"], [*words, None]]
    model = generator(scripted.url, stream_gather_s=0.2)
    await model.start()
    deltas = await deltas_of(model)
    before_failure: list[str] = []

    async def read() -> None:
        async for delta in model.stream(request()):
            before_failure.append(delta.text)

    with pytest.raises(StageUnavailableError):
        await read()
    async with aclosing(model.stream(request())) as stream:  # left in the middle
        await anext(stream)
    await model.stop()

    text = "".join(f"word{number} " for number in range(200))
    assert "".join(delta.text for delta in deltas) == "".join(before_failure) == text
    assert len(deltas) < 100
    assert (deltas[-1].finish_reason, model.activity().num_unfinished) == ("stop", 0)


async def test_requests_wait_for_a_place(scripted: ScriptedServer) -> None:
    scripted.script, scripted.pause_s = [WHOLE], 0.05
    model = generator(scripted.url, max_concurrency=2)
    await model.start()

    answers = await asyncio.gather(*(deltas_of(model) for _ in range(18)), return_exceptions=True)
    too_many = await asyncio.gather(*(deltas_of(model) for _ in range(19)), return_exceptions=True)
    await model.stop()

    assert not any(isinstance(answer, BaseException) for answer in answers)
    assert [type(answer) for answer in too_many].count(OverloadedError) == 1
    assert scripted.max_running <= 2
    assert model.activity().num_unfinished == 0


def test_the_rate_is_spread_after_a_burst() -> None:
    now = [100.0]
    rate = RateLimit("generate", 60, lambda: now[0])

    waits = [rate.reserve(3) for _ in range(8)]

    assert waits == [0, 0, 0, 0, 0, 0, 1, 2]  # five seconds' worth at once, then one a second
    assert rate.reserve(3) == 3
    with pytest.raises(OverloadedError) as refused:
        rate.reserve(3)
    assert refused.value.retry_after_s == 4
    now[0] += 1000
    assert rate.reserve(0) == 0
    assert RateLimit("generate", None).reserve(0) == 0


def test_tokens_are_estimated_by_script() -> None:
    assert estimate_tokens([ChatMessage("user", "abc" * 100)]) == 108
    assert estimate_tokens([ChatMessage("user", "塔高四十米")]) == 13


ENTRY = (
    "generation: {remote: {kind: openai, licence: none, options: {base_url: 'http://x', model: m, max_model_len: 900"
)


OPTIONS = {"base_url": "http://x", "model": "m", "max_model_len": 9000}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"api_key": "sk-secret"}, "name its environment variable"),
        ({"key_variable": "sk-secret"}, "should match pattern"),
        ({"headers": {"Authorization": "Bearer sk-secret"}}, "is a credential"),
        ({"base_url": "http://user:sk-secret@x"}, "should match pattern"),
        ({"modell": "m"}, "did you mean 'model'"),
    ],
)
def test_a_key_in_the_catalog_is_refused_and_not_repeated(tmp_path: Path, option: dict[str, Any], message: str) -> None:
    path = tmp_path / "catalog.yaml"
    entry = {"kind": "openai", "licence": "none", "options": OPTIONS | option}
    path.write_text(yaml.safe_dump({"generation": {"remote": entry}}))

    with pytest.raises(ConfigError, match=message) as refused:
        Catalog.open(path).config("generation", "remote")

    assert refused.value.where == f"catalog.generation.remote.options.{next(iter(option))}"
    assert "sk-secret" not in str(refused.value)


async def test_the_key_comes_from_the_environment_of_the_replica(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "catalog.yaml"
    entry = {"kind": "openai", "licence": "none", "options": OPTIONS | {"key_variable": "REMOTE_KEY"}}
    path.write_text(yaml.safe_dump({"generation": {"remote": entry}}))
    loader: ModelLoader[OpenAIModel] = ModelLoader(Catalog.open(path), "generation", OpenAIModel.start)

    with pytest.raises(ModelLoadError, match="REMOTE_KEY is not set"):
        await loader.load("remote")
    monkeypatch.setenv("REMOTE_KEY", "sk-secret")
    model = await loader.load("remote")
    await model.stop()

    assert model._config.api_key.get_secret_value() == "sk-secret"


async def test_a_remote_model_is_not_probed(tmp_path: Path, scripted: ScriptedServer) -> None:
    path = tmp_path / "catalog.yaml"
    options = {"base_url": scripted.url, "model": "m"}
    embedding = {"kind": "openai", "licence": "none", "options": options | {"dim": 8}}
    reranking = {"kind": "tei", "licence": "none", "options": options}
    path.write_text(yaml.safe_dump({"embedding": {"remote": embedding}, "reranking": {"remote": reranking}}))

    for replica in (Embedder(Catalog.open(path)), Reranker(Catalog.open(path))):
        await replica.reconfigure({"model": "remote"})
        await replica.check_health()
        assert (await replica.status()).runs_on == scripted.url

    assert scripted.requests == []
    assert Catalog.open(path).tokenizer("remote").token_starts(["two words"]) == [[0, 4]]
