"""Reranking with Cohere's own clients, in the shapes of Jina and TEI, and the requests that it refuses."""

from collections.abc import AsyncIterator
from typing import Any

import cohere
import httpx
import pytest

from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.stages import DeadlineExceededError, InternalError, StageUnavailableError
from models.stage_status import StageStatus
from models.types.request_context import RequestContext
from models.types.stage_results import Relevance
from serve.settings import ApiConfig
from tests.inline import Failing, ShortestFirst
from tests.serve.api.api_samples import URL, Hanging, Running, disconnect_once, error_of

PATHS = ("/v1/rerank", "/v2/rerank", "/rerank")
QUERY = "What is short?"
# The shortest document ranks first. Relevance is 1 / (length + 1).
DOCUMENTS = ["seven..", "one", "three", "two"]
ORDER = [1, 3, 2, 0]
RELEVANCE = pytest.approx([1 / 4, 1 / 4, 1 / 6, 1 / 8])


@pytest.fixture
async def cohere_v1(service: Running) -> AsyncIterator[cohere.AsyncClient]:
    async with service.http() as http, cohere.AsyncClient("any", base_url=URL, httpx_client=http) as opened:
        yield opened


@pytest.fixture
async def cohere_v2(service: Running) -> AsyncIterator[cohere.AsyncClientV2]:
    async with service.http() as http, cohere.AsyncClientV2("any", base_url=URL, httpx_client=http) as opened:
        yield opened


async def test_coheres_second_client_works_unchanged(cohere_v2: cohere.AsyncClientV2) -> None:
    ranked = await cohere_v2.rerank(model="shortest-first", query=QUERY, documents=DOCUMENTS, max_tokens_per_doc=256)
    best = await cohere_v2.rerank(model="ragserve", query=QUERY, documents=DOCUMENTS, top_n=2)

    assert [result.index for result in ranked.results] == ORDER
    assert [result.relevance_score for result in ranked.results] == RELEVANCE
    assert ranked.id
    assert (ranked.meta.api_version.version, ranked.meta.billed_units.search_units) == ("2", 1)
    assert best.results == ranked.results[:2]


async def test_coheres_first_client_works_unchanged(cohere_v1: cohere.AsyncClient) -> None:
    ranked = await cohere_v1.rerank(model="shortest-first", query=QUERY, documents=DOCUMENTS)
    with_texts = await cohere_v1.rerank(query=QUERY, documents=DOCUMENTS, top_n=1, return_documents=True)

    assert [result.index for result in ranked.results] == ORDER
    assert [result.relevance_score for result in ranked.results] == RELEVANCE
    assert ranked.results[0].document is None
    assert (ranked.meta.api_version.version, ranked.meta.billed_units.search_units) == ("1", 1)
    assert [result.document.text for result in with_texts.results] == ["one"]


async def test_rank_fields_select_the_text_of_an_object(cohere_v1: cohere.AsyncClient) -> None:
    documents = [{"title": "a" * 9, "text": "b"}, {"title": "a", "text": "bbb"}]

    by_text = await cohere_v1.rerank(query=QUERY, documents=documents, return_documents=True)
    by_title = await cohere_v1.rerank(query=QUERY, documents=documents, rank_fields=["title"])
    by_both = await cohere_v1.rerank(query=QUERY, documents=documents, rank_fields=["title", "text"])

    assert [result.index for result in by_text.results] == [0, 1]
    assert by_text.results[0].document.model_dump() == documents[0]
    assert [result.index for result in by_title.results] == [1, 0]
    # Fields are joined by a line break: "a\nbbb" has five characters.
    assert by_both.results[0].relevance_score == pytest.approx(1 / 6)


async def test_jinas_response_has_model_and_usage(http: httpx.AsyncClient) -> None:
    body = {"model": "shortest-first", "query": QUERY, "documents": [{"text": "one two"}, "one"], "top_n": 5}

    for path in ("/v1/rerank", "/rerank"):
        answer = (await http.post(path, json=body | {"return_documents": True})).json()
        assert (answer["model"], answer["usage"]) == ("shortest-first", {"total_tokens": 3})
        assert answer["results"] == [
            {"index": 1, "relevance_score": 0.25, "document": {"text": "one"}},
            {"index": 0, "relevance_score": 0.125, "document": {"text": "one two"}},
        ]


async def test_coheres_second_shape_has_no_other_fields(http: httpx.AsyncClient) -> None:
    answer = (await http.post("/v2/rerank", json={"query": QUERY, "documents": ["one"] * 101, "top_n": 1})).json()

    assert answer.pop("id")
    assert answer == {
        "results": [{"index": 0, "relevance_score": 0.25}],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 2}},
    }


async def test_texts_are_answered_in_teis_shape_on_every_path(http: httpx.AsyncClient) -> None:
    ignored = {"truncate": True, "truncation_direction": "Right"}

    for path in PATHS:
        plain = await http.post(path, json={"query": QUERY, "texts": ["seven..", "one"]})
        full = await http.post(
            path, json={"query": QUERY, "texts": ["one"], "raw_scores": True, "return_text": True} | ignored
        )
        assert plain.json() == [{"index": 1, "score": 0.25}, {"index": 0, "score": 0.125}]
        assert full.json() == [{"index": 0, "score": -3, "text": "one"}]


async def test_equal_scores_stay_in_order(http: httpx.AsyncClient) -> None:
    ranks = (await http.post("/rerank", json={"query": QUERY, "texts": ["b", "a"] * 50})).json()

    assert [rank["index"] for rank in ranks] == list(range(100))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"documents": ["a"]}, "query"),
    ({"query": QUERY}, "documents"),
    ({"query": QUERY, "documents": []}, "documents"),
    ({"query": QUERY, "documents": "a"}, "documents"),
    ({"query": QUERY, "documents": ["a", 7]}, "documents.1"),
    ({"query": QUERY, "documents": [{"title": "a"}]}, "documents"),
    ({"query": QUERY, "documents": [{"text": "a"}], "rank_fields": ["title"]}, "documents"),
    ({"query": QUERY, "documents": ["a"], "rank_fields": []}, "rank_fields"),
    ({"query": QUERY, "documents": ["a"], "top_n": 0}, "top_n"),
    ({"query": QUERY, "documents": ["a"], "raw_scores": True}, "raw_scores"),
    ({"query": QUERY, "texts": ["a"], "documents": ["a"]}, "documents"),
    ({"query": QUERY, "texts": []}, "texts"),
    ({"query": QUERY, "texts": ["a", None]}, "texts.1"),
    ({"query": QUERY, "texts": ["a"], "top_n": 1}, "top_n"),
    ({"query": QUERY, "texts": ["a"], "truncation_direction": "Left"}, "truncation_direction"),
    ({"texts": ["a"]}, "query"),
    ({"query": " ", "documents": ["a"]}, "query"),
    ({"query": "q" * 21, "texts": ["a"]}, "query"),
    ({"query": QUERY, "documents": ["a"] * 5}, "documents"),
    ({"query": QUERY, "texts": ["a"] * 5}, "texts"),
    ({"query": QUERY, "texts": ["a" * 500, "a" * 501]}, "texts"),
]


async def test_invalid_requests_are_refused_by_name(service: Running, http: httpx.AsyncClient) -> None:
    service.replace(api=ApiConfig(max_query_chars=20, max_rerank_texts=4, max_texts_chars=1000))

    for number, (body, param) in enumerate(REFUSED):
        response = await http.post(PATHS[number % 3], json=body)
        assert error_of(response) == (422, "invalid_request", param), (body, response.text)
    assert (await http.post("/rerank", json={"query": QUERY, "texts": ["a" * 500] * 2})).status_code == 200


async def test_only_the_served_model_can_be_named(cohere_v2: cohere.AsyncClientV2) -> None:
    with pytest.raises(cohere.NotFoundError) as refused:
        await cohere_v2.rerank(model="rerank-v3.5", query=QUERY, documents=["a"])

    assert refused.value.body["error"]["code"] == "model_not_found"
    assert "shortest-first" in refused.value.body["error"]["message"]


class CountingReranker(ShortestFirst):
    """Counts the calls of `status`."""

    num_status_calls = 0

    async def status(self, context: RequestContext) -> StageStatus:
        self.num_status_calls += 1
        return await super().status(context)


async def test_a_steady_client_asks_for_the_model_once(service: Running, http: httpx.AsyncClient) -> None:
    reranker = CountingReranker()
    service.replace(reranker=reranker, stages={"rerank": reranker})

    for name in ("ragserve", "shortest-first", "ragserve", "shortest-first"):
        body = {"model": name, "query": QUERY, "documents": ["a"]}
        assert (await http.post("/v1/rerank", json=body)).json()["model"] == "shortest-first"

    assert reranker.num_status_calls == 1


class WithCanary(ShortestFirst):
    """Serves `alias`, but its canary answers every request."""

    def __init__(self) -> None:
        self.alias = "incumbent"

    async def score(self, *call: Any) -> Relevance:
        scored = await super().score(*call)
        return Relevance(scored.relevance, scored.scores, "challenger", scored.num_tokens)

    async def status(self, context: RequestContext) -> StageStatus:
        return StageStatus(self.alias, canary="challenger", canary_share=0.5)


async def test_a_canary_answers_for_the_named_model(service: Running, http: httpx.AsyncClient) -> None:
    reranker = WithCanary()
    service.replace(reranker=reranker, stages={"rerank": reranker})
    body = {"model": "incumbent", "query": QUERY, "documents": ["a"]}

    assert (await http.post("/v1/rerank", json=body)).json()["model"] == "challenger"
    reranker.alias = "challenger"

    assert error_of(await http.post("/v1/rerank", json=body)) == (404, "model_not_found", "model")


DOWN: list[tuple[RagError, int]] = [
    (OverloadedError("rerank"), 429),
    (StageUnavailableError("rerank"), 503),
    (DeadlineExceededError("rerank", 1.0), 504),
    (InternalError("rerank"), 500),
]


async def test_a_stage_that_is_down_has_its_own_status(service: Running, http: httpx.AsyncClient) -> None:
    for number, (error, status) in enumerate(DOWN):
        service.replace(reranker=Failing(error))
        response = await http.post(PATHS[number % 3], json={"query": QUERY, "texts": ["a"]})
        assert error_of(response) == (status, error.code, None)
        assert ("retry-after" in response.headers) == (status in (429, 503))


async def test_a_disconnect_cancels_the_stage(service: Running) -> None:
    for path in PATHS:
        stage = Hanging()
        service.replace(reranker=stage)

        status = await disconnect_once(stage.called, service.app, path, {"query": QUERY, "texts": ["a"]})

        assert stage.cancelled.is_set()
        assert status == 499


def test_the_routes_are_described(service: Running) -> None:
    paths = service.app.openapi()["paths"]

    for path in (*PATHS, "/v1/embeddings"):
        assert "requestBody" in paths[path]["post"], path
