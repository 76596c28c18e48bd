"""Embedding and reranking on their own, by the official clients and over HTTP, with the models that ship."""

from collections.abc import Iterator

import cohere
import httpx
import numpy as np
import openai
import pytest

from models.catalog import Catalog
from models.embedding.base import EmbeddingModel
from models.embedding.offline import embed_documents, embed_queries
from models.types import FloatArray
from tests.conftest import Service

pytestmark = [pytest.mark.ray, pytest.mark.slow]

QUERY = "How do plants turn sunlight into food?"
TEXTS = [
    "The parliament adjourned after a long debate about tariffs.",
    "Photosynthesis lets leaves make sugar from light, water and carbon dioxide.",
    "The goalkeeper saved a penalty in the last minute.",
]
RELEVANT = 1


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="unused", max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture(scope="module")
def http(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as made:
        yield made


@pytest.fixture(scope="module")
def model() -> EmbeddingModel:
    """The model that the service embeds with, in this process."""
    return Catalog.open(None).load("embedding", "minilm")


def vectors_of(made: openai.types.CreateEmbeddingResponse) -> FloatArray:
    return np.float32([one.embedding for one in made.data])


def same(found: FloatArray, expected: FloatArray) -> None:
    """Unit vectors that point the same way, as far as lower precision and other batches let them."""
    assert found.shape == expected.shape
    assert np.sum(found * expected, axis=1).min() > 0.999


def test_vectors_are_the_models_own_in_either_format(client: openai.OpenAI, model: EmbeddingModel) -> None:
    by_default = client.embeddings.create(model="minilm", input=TEXTS)
    floats = client.embeddings.create(model="minilm", input=TEXTS, encoding_format="float")

    same(vectors_of(by_default), embed_documents(model, TEXTS))
    same(vectors_of(floats), vectors_of(by_default))
    assert by_default.model == "minilm"
    num_tokens = sum(map(len, model.tokenize_documents(TEXTS)))
    assert by_default.usage.prompt_tokens == by_default.usage.total_tokens == num_tokens


def test_the_vector_of_the_relevant_text_is_the_nearest(client: openai.OpenAI, model: EmbeddingModel) -> None:
    query = client.embeddings.create(model="ragserve", input=QUERY, extra_body={"input_type": "query"})
    texts = client.embeddings.create(model="ragserve", input=TEXTS)

    same(vectors_of(query), embed_queries(model, [QUERY]))
    assert np.argmax(vectors_of(texts) @ vectors_of(query)[0]) == RELEVANT


def test_many_inputs_keep_their_order(client: openai.OpenAI) -> None:
    texts = [f"Item {number} " + "of the long list " * (number * 7 % 30) for number in range(300)]

    together = vectors_of(client.embeddings.create(model="minilm", input=texts))

    for number in (0, 1, 17, 150, 299):
        alone = client.embeddings.create(model="minilm", input=texts[number])
        same(together[number : number + 1], vectors_of(alone))


def test_tokens_are_as_good_as_their_text(client: openai.OpenAI, model: EmbeddingModel) -> None:
    tokens = [encoding.ids[1:-1].tolist() for encoding in model.tokenize_documents(TEXTS)]

    made = client.embeddings.create(model="minilm", input=tokens)

    same(vectors_of(made), vectors_of(client.embeddings.create(model="minilm", input=TEXTS)))


def test_what_the_model_cannot_do_is_said_by_name(client: openai.OpenAI) -> None:
    whole = client.embeddings.create(model="minilm", input="a", dimensions=384)

    assert len(whole.data[0].embedding) == 384
    with pytest.raises(openai.UnprocessableEntityError) as unknown_token:
        client.embeddings.create(model="minilm", input=[[7], [10_000_000]])
    with pytest.raises(openai.UnprocessableEntityError) as cannot_be_cut:
        client.embeddings.create(model="minilm", input="a", dimensions=100)
    with pytest.raises(openai.NotFoundError, match="minilm"):
        client.embeddings.create(model="text-embedding-3-small", input="a")
    assert (unknown_token.value.param, cannot_be_cut.value.param) == ("input", "dimensions")


def test_the_models_that_are_listed_can_be_called(client: openai.OpenAI, http: httpx.Client) -> None:
    by_stage = {model.stage: model.id for model in client.models.list()}

    assert client.embeddings.create(model=by_stage["embed"], input="a").model == by_stage["embed"]
    body = {"model": by_stage["rerank"], "query": QUERY, "documents": TEXTS}
    assert http.post("/v1/rerank", json=body).json()["model"] == by_stage["rerank"]
    assert client.models.retrieve(by_stage["embed"]).id == by_stage["embed"]


def test_coheres_clients_rank_by_relevance(service: Service) -> None:
    with cohere.Client(base_url=service.url, api_key="unused") as first:
        by_first = first.rerank(query=QUERY, documents=[{"text": text} for text in TEXTS], return_documents=True)
    with cohere.ClientV2(base_url=service.url, api_key="unused") as second:
        by_second = second.rerank(model="late-interaction", query=QUERY, documents=TEXTS)
        best = second.rerank(model="ragserve", query=QUERY, documents=TEXTS, top_n=1)

    scores = [one.relevance_score for one in by_second.results]
    assert by_first.results[0].document.text == TEXTS[RELEVANT]
    assert sorted(one.index for one in by_second.results) == [0, 1, 2]
    assert 1 >= scores[0] > scores[1] >= scores[2] >= 0
    assert [one.index for one in best.results] == [RELEVANT]
    assert [one.index for one in by_first.results] == [one.index for one in by_second.results]


def test_relevance_does_not_depend_on_the_order_of_the_texts(http: httpx.Client) -> None:
    forwards = http.post("/rerank", json={"query": QUERY, "texts": TEXTS}).json()
    backwards = http.post("/rerank", json={"query": QUERY, "texts": TEXTS[::-1]}).json()

    assert [2 - one["index"] for one in backwards] == [one["index"] for one in forwards]
    assert [one["score"] for one in backwards] == pytest.approx([one["score"] for one in forwards], abs=0.01)


def test_empty_and_endless_texts_are_ranked_too(http: httpx.Client) -> None:
    texts = ["", TEXTS[RELEVANT], "word " * 5000]

    ranks = http.post("/rerank", json={"query": QUERY, "texts": texts, "raw_scores": True}).json()

    assert ranks[0]["index"] == 1
    assert {one["index"] for one in ranks} == {0, 1, 2}
