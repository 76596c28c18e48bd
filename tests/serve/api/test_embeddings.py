"""/v1/embeddings by OpenAI's own client, and what it refuses."""

import base64
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from models.embedding.hashing_model import HashingConfig, HashingModel
from models.embedding.offline import embed_documents
from models.encoding import TextInput
from models.errors import DeadlineExceededError, InternalError, OverloadedError, RagError, StageUnavailableError
from models.types import Deadline, Embeddings, StageStatus
from serve.api.embeddings import MAX_INPUTS, to_json
from serve.settings import ApiConfig
from tests.inline import Failing, InlineEmbedder
from tests.serve.api.api_samples import Hanging, Running, error_of, hang_up_once

URL = "/v1/embeddings"
MODEL = HashingModel("hashing", HashingConfig(dim=512))
TEXTS = ["The orchard sells apples.", "The harbour opens at dawn."]


async def test_texts_become_the_models_own_vectors_in_order(client: openai.AsyncOpenAI) -> None:
    made = await client.embeddings.create(model="hashing", input=TEXTS)

    assert [one.index for one in made.data] == [0, 1]
    assert (made.object, made.data[0].object, made.model) == ("list", "embedding", "hashing")
    np.testing.assert_array_equal(np.float32([one.embedding for one in made.data]), embed_documents(MODEL, TEXTS))
    # Four words each, and the token that opens a text; the last text has one more.
    assert (made.usage.prompt_tokens, made.usage.total_tokens) == (11, 11)


async def test_floats_and_base64_are_the_same_numbers(client: openai.AsyncOpenAI) -> None:
    floats = await client.embeddings.create(model="ragserve", input=TEXTS, encoding_format="float")
    packed = await client.embeddings.create(model="ragserve", input=TEXTS, encoding_format="base64")

    raw = [np.frombuffer(base64.b64decode(one.embedding), "<f4") for one in packed.data]
    np.testing.assert_array_equal(np.float32([one.embedding for one in floats.data]), raw)


async def test_tokens_are_as_good_as_their_text(client: openai.AsyncOpenAI) -> None:
    tokens = [encoding.ids[1:].tolist() for encoding in MODEL.tokenize_documents(TEXTS)]

    from_texts = await client.embeddings.create(model="hashing", input=TEXTS)
    from_tokens = await client.embeddings.create(model="hashing", input=tokens)
    from_one = await client.embeddings.create(model="hashing", input=tokens[1])

    assert from_tokens == from_texts
    assert from_one.data[0].embedding == from_texts.data[1].embedding


class NotesKind(InlineEmbedder):
    """Notes whether inputs came as queries, and how much time there was for them."""

    def __init__(self) -> None:
        super().__init__()
        self.as_queries: list[bool] = []
        self.budgets_s: list[float] = []

    async def embed_inputs(
        self, inputs: Sequence[TextInput], as_queries: bool, dimensions: int | None, deadline: Deadline
    ) -> Embeddings:
        self.as_queries.append(as_queries)
        self.budgets_s.append(deadline.remaining_s())
        return await super().embed_inputs(inputs, as_queries, dimensions, deadline)


async def test_inputs_are_documents_unless_they_are_said_to_be_queries(
    service: Running, client: openai.AsyncOpenAI
) -> None:
    embedder = NotesKind()
    service.replace(embedder=embedder)

    await client.embeddings.create(model="hashing", input="a", user="me")
    await client.embeddings.create(model="hashing", input="a", extra_body={"input_type": "query"})
    await client.embeddings.create(model="hashing", input="a", extra_body={"input_type": "document"})

    assert embedder.as_queries == [False, True, False]


async def test_the_stage_has_the_time_that_is_configured(service: Running, client: openai.AsyncOpenAI) -> None:
    embedder = NotesKind()
    service.replace(embedder=embedder, api=ApiConfig(embed_s=3000))

    await client.embeddings.create(model="hashing", input="a")

    assert 2000 < embedder.budgets_s[0] <= 3000


async def test_dimensions_that_the_model_has_are_given(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    whole = await client.embeddings.create(model="hashing", input="a", dimensions=512)

    assert len(whole.data[0].embedding) == 512
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
    ([[1], [1025]], "1025 is no token id of this model; they are 1 to 1024"),
    (["a", 1], "send a string, a list of strings"),
    ([[1], "a"], "send a string, a list of strings"),
    ([[1.5]], "send a string, a list of strings"),
    ([True], "send a string, a list of strings"),
    ([None], "send a string, a list of strings"),
    ({"text": "a"}, "send a string, a list of strings"),
    (7, "send a string, a list of strings"),
    (None, "send a string, a list of strings"),
]


async def test_bad_inputs_are_refused_by_name(http: httpx.AsyncClient) -> None:
    for inputs, message in REFUSED:
        response = await http.post(URL, json={"input": inputs})
        assert error_of(response) == (422, "invalid_request", "input"), message
        assert message in response.json()["error"]["message"]


async def test_what_is_not_known_is_refused_by_name(http: httpx.AsyncClient) -> None:
    for extra in ({"encoding_format": "int8"}, {"input_type": "passage"}, {"truncate": True}, {"model": 7}):
        response = await http.post(URL, json={"input": "a"} | extra)
        assert error_of(response) == (422, "invalid_request", next(iter(extra)))
    assert error_of(await http.post(URL, json={"model": "hashing"})) == (422, "invalid_request", "input")


async def test_the_length_of_all_inputs_is_bounded(service: Running, http: httpx.AsyncClient) -> None:
    service.replace(api=ApiConfig(max_texts_chars=1000))

    for fits, does_not in ((["a" * 500] * 2, ["a" * 500, "a" * 501]), ([[1] * 125] * 2, [[1] * 125, [1] * 126])):
        assert (await http.post(URL, json={"input": fits})).status_code == 200
        assert error_of(await http.post(URL, json={"input": does_not})) == (422, "invalid_request", "input")


async def test_only_the_model_that_serves_can_be_named(client: openai.AsyncOpenAI) -> None:
    for name in ("minilm", "text-embedding-3-small", ""):
        with pytest.raises(openai.NotFoundError, match="ragserve") as refused:
            await client.embeddings.create(model=name, input="a")
        assert refused.value.code == "model_not_found"
        assert "hashing" in str(refused.value)


class Swapped(InlineEmbedder):
    """Another model than the one that it says to serve, until it is told. Counts how often it is asked which."""

    def __init__(self) -> None:
        super().__init__()
        self.alias, self.num_asked = "hashing", 0

    async def embed_inputs(self, *call: Any) -> Embeddings:
        found = await super().embed_inputs(*call)
        return Embeddings(found.vectors, found.generation, self.alias, found.num_tokens)

    async def status(self, deadline: Deadline) -> StageStatus:
        self.num_asked += 1
        return StageStatus(self.alias)


async def test_a_steady_client_costs_no_question_about_the_model(service: Running, client: openai.AsyncOpenAI) -> None:
    embedder = Swapped()
    service.replace(embedder=embedder, stages={"embed": embedder})

    for name in ("ragserve", "hashing", "hashing", "ragserve", "hashing"):
        await client.embeddings.create(model=name, input="a")

    assert embedder.num_asked == 1


async def test_after_a_swap_the_old_name_gets_no_vectors_of_the_new_model(
    service: Running, client: openai.AsyncOpenAI
) -> None:
    embedder = Swapped()
    service.replace(embedder=embedder, stages={"embed": embedder})
    await client.embeddings.create(model="hashing", input="a")

    embedder.alias = "hashing-2"

    for _ in range(2):
        with pytest.raises(openai.NotFoundError, match="hashing-2"):
            await client.embeddings.create(model="hashing", input="a")
    assert (await client.embeddings.create(model="hashing-2", input="a")).model == "hashing-2"
    assert (await client.embeddings.create(model="ragserve", input="a")).model == "hashing-2"


async def test_every_model_that_is_listed_for_the_stage_can_be_used(client: openai.AsyncOpenAI) -> None:
    listed = [model async for model in client.models.list()]

    names = [model.id for model in listed if model.stage in ("pipeline", "embed")]
    assert names == ["ragserve", "hashing"]
    for name in names:
        assert (await client.embeddings.create(model=name, input="a")).model == "hashing"


DOWN: list[tuple[RagError, int]] = [
    (OverloadedError("embed"), 429),
    (StageUnavailableError("embed"), 503),
    (DeadlineExceededError("embed", 1.0), 504),
    (InternalError("embed"), 500),
]


async def test_a_stage_that_is_down_is_said_to_be(service: Running, http: httpx.AsyncClient) -> None:
    for error, status in DOWN:
        service.replace(embedder=Failing(error))
        response = await http.post(URL, json={"input": "a"})
        assert error_of(response) == (status, error.code, None)
        assert ("retry-after" in response.headers) == (status in (429, 503))


async def test_a_caller_that_hangs_up_stops_the_work(service: Running) -> None:
    stage = Hanging()
    service.replace(embedder=stage)

    status = await hang_up_once(stage.asked, service.app, URL, {"input": "a"})

    assert stage.cancelled.is_set()
    assert status == 499


def test_floats_are_written_with_the_digits_that_give_them_back() -> None:
    vectors = np.random.default_rng(0).standard_normal((4, 384)).astype(np.float32)

    written = to_json(Embeddings(vectors[:, ::2], "g", 'a "name"', 7), "float")

    body = httpx.Response(200, content=written).json()
    np.testing.assert_array_equal(np.float32([one["embedding"] for one in body["data"]]), vectors[:, ::2])
    assert (body["model"], body["usage"]) == ('a "name"', {"prompt_tokens": 7, "total_tokens": 7})
    assert len(written) < 4 * 192 * 14
