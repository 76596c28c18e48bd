"""/v1/embeddings with OpenAI's own client, and the requests that it refuses."""

import base64
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from models.embedding.hashing_model import HashingConfig, HashingModel
from models.embedding.offline import embed_documents
from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.stages import DeadlineExceededError, InternalError, StageUnavailableError
from models.stage_status import StageStatus
from models.tokens.encoding import TextInput
from models.types.request_context import RequestContext
from models.types.stage_results import Embeddings
from serve.api.embeddings import MAX_INPUTS, to_json
from serve.settings import ApiConfig
from tests.inline import Failing, InlineEmbedder
from tests.serve.api.api_samples import Hanging, Running, disconnect_once, error_of

URL = "/v1/embeddings"
MODEL = HashingModel("hashing", HashingConfig(dim=512))
TEXTS = ["The orchard sells apples.", "The harbour opens at dawn."]


async def test_texts_become_the_models_vectors_in_order(client: openai.AsyncOpenAI) -> None:
    response = await client.embeddings.create(model="hashing", input=TEXTS)

    assert [row.index for row in response.data] == [0, 1]
    assert (response.object, response.data[0].object, response.model) == ("list", "embedding", "hashing")
    vectors = np.float32([row.embedding for row in response.data])
    np.testing.assert_array_equal(vectors, embed_documents(MODEL, TEXTS))
    # Four and five words, each with the token that starts a text.
    assert (response.usage.prompt_tokens, response.usage.total_tokens) == (11, 11)


async def test_floats_and_base64_are_the_same_numbers(client: openai.AsyncOpenAI) -> None:
    floats = await client.embeddings.create(model="ragserve", input=TEXTS, encoding_format="float")
    packed = await client.embeddings.create(model="ragserve", input=TEXTS, encoding_format="base64")

    raw = [np.frombuffer(base64.b64decode(row.embedding), "<f4") for row in packed.data]
    np.testing.assert_array_equal(np.float32([row.embedding for row in floats.data]), raw)


async def test_tokens_give_the_same_vectors_as_their_text(client: openai.AsyncOpenAI) -> None:
    tokens = [encoding.ids[1:].tolist() for encoding in MODEL.tokenize_documents(TEXTS)]

    from_texts = await client.embeddings.create(model="hashing", input=TEXTS)
    own = {"tokenizer": "hashing"}
    from_tokens = await client.embeddings.create(model="hashing", input=tokens, extra_body=own)
    from_list = await client.embeddings.create(model="hashing", input=tokens[1], extra_body=own)

    assert from_tokens == from_texts
    assert from_list.data[0].embedding == from_texts.data[1].embedding


async def test_tokens_of_an_unnamed_tokenizer_are_refused(http: httpx.AsyncClient) -> None:
    for model, tokenizer, param in (("hashing", None, "input"), ("ragserve", "cl100k_base", "tokenizer")):
        body = {"input": [[9906, 1917]], "model": model, "tokenizer": tokenizer}
        response = await http.post(URL, json=body)
        assert error_of(response) == (422, "invalid_request", param)
    assert "check_embedding_ctx_length=False" in (await http.post(URL, json={"input": [1]})).json()["error"]["message"]


class RecordingEmbedder(InlineEmbedder):
    """Record whether inputs came as queries, and the time left for them."""

    def __init__(self) -> None:
        super().__init__()
        self.as_queries: list[bool] = []
        self.budgets_s: list[float] = []

    async def embed_inputs(
        self, inputs: Sequence[TextInput], as_queries: bool, dimensions: int | None, context: RequestContext
    ) -> Embeddings:
        self.as_queries.append(as_queries)
        self.budgets_s.append(context.remaining_s())
        return await super().embed_inputs(inputs, as_queries, dimensions, context)


async def test_inputs_are_documents_by_default(service: Running, client: openai.AsyncOpenAI) -> None:
    embedder = RecordingEmbedder()
    service.replace(embedder=embedder)

    await client.embeddings.create(model="hashing", input="a", user="me")
    await client.embeddings.create(model="hashing", input="a", extra_body={"input_type": "query"})
    await client.embeddings.create(model="hashing", input="a", extra_body={"input_type": "document"})

    assert embedder.as_queries == [False, True, False]


async def test_the_stage_gets_the_configured_budget(service: Running, client: openai.AsyncOpenAI) -> None:
    embedder = RecordingEmbedder()
    service.replace(embedder=embedder, api=ApiConfig(embed_s=3000))

    await client.embeddings.create(model="hashing", input="a")

    assert 2000 < embedder.budgets_s[0] <= 3000


async def test_only_the_models_dimensions_are_accepted(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    full = await client.embeddings.create(model="hashing", input="a", dimensions=512)

    assert len(full.data[0].embedding) == 512
    for dimensions in (256, 513, 0, -1, "a"):
        refused = await http.post(URL, json={"input": "a", "dimensions": dimensions})
        assert error_of(refused) == (422, "invalid_request", "dimensions"), dimensions


REFUSED: list[tuple[Any, str]] = [
    ("", "input 0 is empty"),
    ([], "the request has 0 inputs; send 1 to 2048"),
    (["a", ""], "input 1 is empty"),
    ([[1], []], "input 1 is empty"),
    (["a"] * (MAX_INPUTS + 1), "the request has 2049 inputs"),
    ([1, -1], "input 0 has a token id outside 0 to 2147483647"),
    ([[1], [2**40]], "input 1 has a token id outside 0 to 2147483647"),
    ([[1], [1025]], "1025 is not a token id of this model; use 1 to 1024"),
    (["a", 1], "send a string, a list of strings"),
    ([[1], "a"], "send a string, a list of strings"),
    ([[1.5]], "send a string, a list of strings"),
    ([True], "send a string, a list of strings"),
    ([None], "send a string, a list of strings"),
    ({"text": "a"}, "send a string, a list of strings"),
    (7, "send a string, a list of strings"),
    (None, "send a string, a list of strings"),
]


async def test_invalid_inputs_are_refused_by_name(http: httpx.AsyncClient) -> None:
    for inputs, message in REFUSED:
        response = await http.post(URL, json={"input": inputs, "tokenizer": "hashing"})
        assert error_of(response) == (422, "invalid_request", "input"), message
        assert message in response.json()["error"]["message"]


async def test_invalid_fields_are_refused_by_name(http: httpx.AsyncClient) -> None:
    for extra in ({"encoding_format": "int8"}, {"input_type": "passage"}, {"truncate": True}, {"model": 7}):
        response = await http.post(URL, json={"input": "a"} | extra)
        assert error_of(response) == (422, "invalid_request", next(iter(extra)))
    assert error_of(await http.post(URL, json={"model": "hashing"})) == (422, "invalid_request", "input")


async def test_the_total_length_of_inputs_is_bounded(service: Running, http: httpx.AsyncClient) -> None:
    service.replace(api=ApiConfig(max_texts_chars=1000))

    for accepted, too_long in ((["a" * 500] * 2, ["a" * 500, "a" * 501]), ([[1] * 125] * 2, [[1] * 125, [1] * 126])):
        assert (await http.post(URL, json={"input": accepted, "tokenizer": "hashing"})).status_code == 200
        assert error_of(await http.post(URL, json={"input": too_long})) == (422, "invalid_request", "input")


async def test_only_the_served_model_can_be_named(client: openai.AsyncOpenAI) -> None:
    for name in ("minilm", "text-embedding-3-small", ""):
        with pytest.raises(openai.NotFoundError, match="ragserve") as refused:
            await client.embeddings.create(model=name, input="a")
        assert refused.value.code == "model_not_found"
        assert "hashing" in str(refused.value)


class Swapped(InlineEmbedder):
    """An embedder whose model a test can swap. Counts the calls of `status`."""

    def __init__(self) -> None:
        super().__init__()
        self.alias, self.num_status_calls = "hashing", 0

    async def embed_inputs(self, *call: Any) -> Embeddings:
        embeddings = await super().embed_inputs(*call)
        return Embeddings(embeddings.vectors, embeddings.generation, self.alias, embeddings.num_tokens)

    async def status(self, context: RequestContext) -> StageStatus:
        self.num_status_calls += 1
        return StageStatus(self.alias)


async def test_a_steady_client_asks_for_the_model_once(service: Running, client: openai.AsyncOpenAI) -> None:
    embedder = Swapped()
    service.replace(embedder=embedder, stages={"embed": embedder})

    for name in ("ragserve", "hashing", "hashing", "ragserve", "hashing"):
        await client.embeddings.create(model=name, input="a")

    assert embedder.num_status_calls == 1


async def test_after_a_swap_the_old_alias_is_not_found(service: Running, client: openai.AsyncOpenAI) -> None:
    embedder = Swapped()
    service.replace(embedder=embedder, stages={"embed": embedder})
    await client.embeddings.create(model="hashing", input="a")

    embedder.alias = "hashing-2"

    for _ in range(2):
        with pytest.raises(openai.NotFoundError, match="hashing-2"):
            await client.embeddings.create(model="hashing", input="a")
    assert (await client.embeddings.create(model="hashing-2", input="a")).model == "hashing-2"
    assert (await client.embeddings.create(model="ragserve", input="a")).model == "hashing-2"


async def test_every_listed_embedding_model_can_be_named(client: openai.AsyncOpenAI) -> None:
    names = [model.id async for model in client.models.list(extra_query={"stage": "embed"})]

    assert names == ["hashing"]
    for name in ("ragserve", *names):
        assert (await client.embeddings.create(model=name, input="a")).model == "hashing"


DOWN: list[tuple[RagError, int]] = [
    (OverloadedError("embed"), 429),
    (StageUnavailableError("embed"), 503),
    (DeadlineExceededError("embed", 1.0), 504),
    (InternalError("embed"), 500),
]


async def test_a_stage_that_is_down_has_its_own_status(service: Running, http: httpx.AsyncClient) -> None:
    for error, status in DOWN:
        service.replace(embedder=Failing(error))
        response = await http.post(URL, json={"input": "a"})
        assert error_of(response) == (status, error.code, None)
        assert ("retry-after" in response.headers) == (status in (429, 503))


async def test_a_disconnect_cancels_the_stage(service: Running) -> None:
    stage = Hanging()
    service.replace(embedder=stage)

    status = await disconnect_once(stage.called, service.app, URL, {"input": "a"})

    assert stage.cancelled.is_set()
    assert status == 499


def test_written_floats_restore_the_same_numbers() -> None:
    vectors = np.random.default_rng(0).standard_normal((4, 384)).astype(np.float32)

    written = to_json(Embeddings(vectors[:, ::2], "g", 'a "name"', 7), "float")

    body = httpx.Response(200, content=written).json()
    np.testing.assert_array_equal(np.float32([row["embedding"] for row in body["data"]]), vectors[:, ::2])
    assert (body["model"], body["usage"]) == ('a "name"', {"prompt_tokens": 7, "total_tokens": 7})
    assert len(written) < 4 * 192 * 14
