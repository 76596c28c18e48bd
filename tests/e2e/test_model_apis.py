"""The embedding and reranking APIs, with the official clients and over HTTP, with the default models."""

from collections.abc import Iterator

import cohere
import httpx
import numpy as np
import openai
import pytest

from models.catalog import Catalog
from models.embedding.base import EmbeddingModel
from models.embedding.offline import embed_documents, embed_queries
from models.types.arrays import FloatArray
from tests.conftest import Service
from tests.patience import PATIENCE_S

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
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="unused", max_retries=0, timeout=PATIENCE_S) as opened:
        yield opened


@pytest.fixture(scope="module")
def http(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as opened:
        yield opened


@pytest.fixture(scope="module")
def model() -> EmbeddingModel:
    """The model that the service embeds with, in this process."""
    return Catalog.open(None).load("embedding", "minilm")


def vectors_of(response: openai.types.CreateEmbeddingResponse) -> FloatArray:
    return np.float32([row.embedding for row in response.data])


def assert_close(vectors: FloatArray, expected: FloatArray) -> None:
    """Assert that unit vectors agree, within the error of lower precision and other batches."""
    assert vectors.shape == expected.shape
    assert np.sum(vectors * expected, axis=1).min() > 0.999


def test_both_formats_give_the_models_vectors(client: openai.OpenAI, model: EmbeddingModel) -> None:
    by_default = client.embeddings.create(model="minilm", input=TEXTS)
    floats = client.embeddings.create(model="minilm", input=TEXTS, encoding_format="float")

    assert_close(vectors_of(by_default), embed_documents(model, TEXTS))
    assert_close(vectors_of(floats), vectors_of(by_default))
    assert by_default.model == "minilm"
    num_tokens = sum(map(len, model.tokenize_documents(TEXTS)))
    assert by_default.usage.prompt_tokens == by_default.usage.total_tokens == num_tokens


def test_the_vector_of_the_relevant_text_is_the_nearest(client: openai.OpenAI, model: EmbeddingModel) -> None:
    query = client.embeddings.create(model="ragserve", input=QUERY, extra_body={"input_type": "query"})
    texts = client.embeddings.create(model="ragserve", input=TEXTS)

    assert_close(vectors_of(query), embed_queries(model, [QUERY]))
    assert np.argmax(vectors_of(texts) @ vectors_of(query)[0]) == RELEVANT


def test_many_inputs_keep_their_order(client: openai.OpenAI) -> None:
    texts = [f"Item {number} " + "of the long list " * (number * 7 % 30) for number in range(300)]

    together = vectors_of(client.embeddings.create(model="minilm", input=texts))

    for number in (0, 1, 17, 150, 299):
        alone = client.embeddings.create(model="minilm", input=texts[number])
        assert_close(together[number : number + 1], vectors_of(alone))


def test_tokens_give_the_same_vectors_as_their_text(client: openai.OpenAI, model: EmbeddingModel) -> None:
    tokens = [encoding.ids[1:-1].tolist() for encoding in model.tokenize_documents(TEXTS)]

    response = client.embeddings.create(model="minilm", input=tokens, extra_body={"tokenizer": "minilm"})

    assert_close(vectors_of(response), vectors_of(client.embeddings.create(model="minilm", input=TEXTS)))


def test_unsupported_inputs_and_dimensions_are_refused_by_name(client: openai.OpenAI) -> None:
    full = client.embeddings.create(model="minilm", input="a", dimensions=384)

    assert len(full.data[0].embedding) == 384
    with pytest.raises(openai.UnprocessableEntityError) as unknown_token:
        client.embeddings.create(model="minilm", input=[[7], [10_000_000]], extra_body={"tokenizer": "minilm"})
    with pytest.raises(openai.UnprocessableEntityError) as cannot_be_cut:
        client.embeddings.create(model="minilm", input="a", dimensions=100)
    with pytest.raises(openai.NotFoundError, match="minilm"):
        client.embeddings.create(model="text-embedding-3-small", input="a")
    assert (unknown_token.value.param, cannot_be_cut.value.param) == ("input", "dimensions")


def test_listed_models_can_be_called(client: openai.OpenAI, http: httpx.Client) -> None:
    stages = ("embed", "rerank")
    by_stage = {stage: next(iter(client.models.list(extra_query={"stage": stage}))).id for stage in stages}

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

    scores = [result.relevance_score for result in by_second.results]
    assert by_first.results[0].document.text == TEXTS[RELEVANT]
    assert sorted(result.index for result in by_second.results) == [0, 1, 2]
    assert 1 >= scores[0] > scores[1] >= scores[2] >= 0
    assert [result.index for result in best.results] == [RELEVANT]
    assert [result.index for result in by_first.results] == [result.index for result in by_second.results]


def test_relevance_does_not_depend_on_the_order_of_the_texts(http: httpx.Client) -> None:
    forwards = http.post("/rerank", json={"query": QUERY, "texts": TEXTS}).json()
    backwards = http.post("/rerank", json={"query": QUERY, "texts": TEXTS[::-1]}).json()

    assert [2 - rank["index"] for rank in backwards] == [rank["index"] for rank in forwards]
    forward_scores = [rank["score"] for rank in forwards]
    assert [rank["score"] for rank in backwards] == pytest.approx(forward_scores, abs=0.01)


def test_empty_and_very_long_texts_are_ranked(http: httpx.Client) -> None:
    texts = ["", TEXTS[RELEVANT], "word " * 5000]

    ranks = http.post("/rerank", json={"query": QUERY, "texts": texts, "raw_scores": True}).json()

    assert ranks[0]["index"] == 1
    assert {rank["index"] for rank in ranks} == {0, 1, 2}
