"""Search a vector store with OpenAI's own client, and query with the same filters and ranking options."""

from typing import Any

import httpx
import openai
import pytest

from tests.serve.api.api_samples import error_of, ingest_file

NOTES = {
    "harbour.md": (b"The harbour opens at dawn in summer.", {"year": 2023, "place": "sea", "public": True}),
    "orchard.md": (b"The orchard opens at noon in summer and sells apples.", {"year": 2024, "place": "land"}),
    "mill.md": (b"The old mill opens in winter, when the brook is high enough.", {"year": 2025.5, "public": False}),
    "ferry.md": (b"The ferry FX-4711 leaves the pier hourly.", {}),
}


@pytest.fixture
async def store(client: openai.AsyncOpenAI) -> str:
    created = await client.vector_stores.create(name="notes")
    for name, (content, attributes) in NOTES.items():
        await ingest_file(client, name, content, created.id, attributes=attributes)
    return created.id


async def names(client: openai.AsyncOpenAI, store: str, query: str = "opens", **options: Any) -> list[str]:
    page = await client.vector_stores.search(store, query=query, **options)
    return [result.filename for result in page.data]


async def test_a_result_has_all_of_openais_fields(client: openai.AsyncOpenAI, store: str) -> None:
    page = await client.vector_stores.search(
        store,
        query="Could you tell me about the orchard apples?",
        max_num_results=1,
        rewrite_query=True,
        ranking_options={"ranker": "none"},
    )

    (result,) = page.data
    assert (result.filename, result.attributes) == ("orchard.md", NOTES["orchard.md"][1])
    assert (result.content[0].type, result.content[0].text) == ("text", NOTES["orchard.md"][0].decode())
    assert 0 <= result.score <= 1
    assert (page.object, page.search_query) == ("vector_store.search_results.page", ["orchard apples"])
    assert (result.content[0].start, result.content[0].end) == (0, len(NOTES["orchard.md"][0]))
    assert page.degraded == []


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"type": "eq", "key": "place", "value": "sea"}, {"harbour"}),
    ({"type": "eq", "key": "public", "value": True}, {"harbour"}),
    ({"type": "ne", "key": "place", "value": "sea"}, {"orchard", "mill", "ferry"}),
    ({"type": "gte", "key": "year", "value": 2024}, {"orchard", "mill"}),
    ({"type": "gt", "key": "year", "value": 2025}, {"mill"}),
    ({"type": "lt", "key": "year", "value": 2024}, {"harbour"}),
    ({"type": "in", "key": "place", "value": ["sea", "land"]}, {"harbour", "orchard"}),
    ({"type": "nin", "key": "place", "value": ["sea", "land"]}, {"mill", "ferry"}),
    ({"type": "eq", "key": "year", "value": "2024"}, set()),
    (
        {
            "type": "and",
            "filters": [
                {"type": "lte", "key": "year", "value": 2024},
                {
                    "type": "or",
                    "filters": [
                        {"type": "eq", "key": "place", "value": "land"},
                        {"type": "eq", "key": "place", "value": "moon"},
                    ],
                },
            ],
        },
        {"orchard"},
    ),
]


async def test_filters_select_files_by_their_attributes(client: openai.AsyncOpenAI, store: str) -> None:
    query = "harbour orchard mill ferry"
    for filters, expected in FILTERS:
        for mode in ("dense", "lexical", "hybrid"):
            filenames = await names(client, store, query, filters=filters, extra_body={"mode": mode})
            assert {name.removesuffix(".md") for name in filenames} == expected, (mode, filters)


RANKINGS: list[dict[str, Any]] = [
    {},
    {"ranker": "default-2024-11-15"},
    {"ranker": "none"},
    {"ranker": "none", "hybrid_search": {"embedding_weight": 0, "text_weight": 1}},
    {"ranker": "none", "fusion": "rrf"},
    {"ranker": "none", "fusion": "min_max", "diversity": 0.5, "dedup": False},
]


@pytest.mark.parametrize("mode", ["auto", "hybrid", "dense", "lexical"])
async def test_every_ranking_finds_the_file(client: openai.AsyncOpenAI, store: str, mode: str) -> None:
    for ranking in RANKINGS:
        filenames = await names(client, store, "the ferry leaves", ranking_options=ranking, extra_body={"mode": mode})
        assert "ferry.md" in filenames, ranking


async def test_a_threshold_drops_lower_scores(client: openai.AsyncOpenAI, store: str) -> None:
    ranking = {"ranker": "none"}
    everything = (await client.vector_stores.search(store, query="opens at dawn", ranking_options=ranking)).data
    threshold = everything[0].score

    best = await client.vector_stores.search(
        store, query="opens at dawn", ranking_options=ranking | {"score_threshold": threshold}
    )

    assert everything[0].filename == "harbour.md"
    assert [result.score for result in best.data] == [
        result.score for result in everything if result.score >= threshold
    ]
    assert len(best.data) < len(everything)


async def test_several_queries_are_merged(client: openai.AsyncOpenAI, store: str) -> None:
    queries = ["ferry FX-4711", "orchard apples"]

    page = await client.vector_stores.search(store, query=queries, ranking_options={"ranker": "none"})

    assert page.search_query == queries
    assert {page.data[0].filename, page.data[1].filename} == {"ferry.md", "orchard.md"}
    assert len({result.file_id for result in page.data}) == len(page.data)
    scores = [result.score for result in page.data]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


async def test_pages_list_every_result_once(client: openai.AsyncOpenAI, store: str) -> None:
    in_one_page = await names(client, store, "opens")
    paged, token = [], None
    for _ in range(len(in_one_page)):
        page = await client.vector_stores.search(store, query="opens", max_num_results=1, extra_body={"page": token})
        paged += [result.filename for result in page.data]
        token = page.next_page
        assert page.has_more == (token is not None)

    assert paged == in_one_page
    assert token is None


async def test_a_page_of_another_search_is_refused(client: openai.AsyncOpenAI, store: str) -> None:
    page = await client.vector_stores.search(store, query="opens", max_num_results=1)

    for token in (page.next_page, "page_1_0123456789abcdef", "2", ""):
        with pytest.raises(openai.UnprocessableEntityError, match="next_page"):
            await client.vector_stores.search(store, query="closes", max_num_results=1, extra_body={"page": token})


BAD_SEARCHES: list[tuple[dict[str, Any], str]] = [
    ({"query": ""}, "query"),
    ({"query": "  "}, "query"),
    ({"query": []}, "query"),
    ({"query": ["a"] * 17}, "query"),
    ({"query": ["a", " "]}, "query"),
    ({"query": "x" * 8001}, "query"),
    ({"max_num_results": 0}, "max_num_results"),
    ({"max_num_results": 51}, "max_num_results"),
    ({"mode": "magic"}, "mode"),
    ({"ranking_options": {"ranker": "best"}}, "ranking_options.ranker"),
    ({"ranking_options": {"score_threshold": 1.1}}, "ranking_options.score_threshold"),
    ({"ranking_options": {"diversity": -1}}, "ranking_options.diversity"),
    ({"ranking_options": {"fusion": "sum"}}, "ranking_options.fusion"),
    ({"ranking_options": {"hybrid_search": {"text_weight": 1}}}, "ranking_options.hybrid_search.embedding_weight"),
    (
        {"ranking_options": {"hybrid_search": {"embedding_weight": 0, "text_weight": 0}}},
        "ranking_options.hybrid_search",
    ),
    ({"filters": {"type": "like", "key": "a", "value": "b"}}, "filters"),
    ({"filters": {"key": "a", "value": "b"}}, "filters"),
    ({"filters": {"type": "eq", "key": "a"}}, "filters.value"),
    ({"filters": {"type": "eq", "key": "", "value": 1}}, "filters.key"),
    ({"filters": {"type": "eq", "key": "a", "value": None}}, "filters.value"),
    ({"filters": {"type": "eq", "key": "a", "value": [1]}}, "filters"),
    ({"filters": {"type": "in", "key": "a", "value": 1}}, "filters"),
    ({"filters": {"type": "gt", "key": "a", "value": True}}, "filters"),
    ({"filters": {"type": "and", "filters": []}}, "filters.filters"),
    ({"filters": {"type": "and", "filters": [{"type": "not"}]}}, "filters.filters.0"),
    ({"limit": 3}, "limit"),
]


async def test_invalid_searches_are_refused_by_name(http: httpx.AsyncClient) -> None:
    for body, param in BAD_SEARCHES:
        response = await http.post("/v1/vector_stores/default/search", json={"query": "opens"} | body)
        assert error_of(response) == (422, "invalid_request", param), body


async def test_queries_take_filters_mode_and_ranking(http: httpx.AsyncClient, store: str) -> None:
    body = {
        "query": "When does it open?",
        "vector_store_ids": [store],
        "filters": {"type": "eq", "key": "place", "value": "land"},
        "mode": "hybrid",
        "ranking_options": {"ranker": "none", "diversity": 0.2},
    }

    answer = (await http.post("/v1/query", json=body)).json()

    assert [passage["filename"] for passage in answer["passages"]] == ["orchard.md"]
    assert answer["passages"][0]["attributes"] == NOTES["orchard.md"][1]
    assert "rerank" not in answer["models"]


async def test_the_file_search_tool_takes_filters_and_ranking(client: openai.AsyncOpenAI, store: str) -> None:
    tool = {
        "type": "file_search",
        "vector_store_ids": [store],
        "max_num_results": 2,
        "filters": {"type": "gte", "key": "year", "value": 2024},
        "ranking_options": {"ranker": "none", "score_threshold": 0.0},
    }
    messages = [{"role": "user", "content": "When does it open?"}]

    by_tool = await client.chat.completions.create(model="ragserve", messages=messages, tools=[tool])
    by_body = await client.chat.completions.create(
        model="ragserve",
        messages=messages,
        tools=[tool],
        extra_body={"filters": {"type": "eq", "key": "place", "value": "sea"}, "mode": "lexical"},
    )

    assert {passage["filename"] for passage in by_tool.passages} == {"orchard.md", "mill.md"}
    assert "rerank" not in by_tool.models
    assert {passage["filename"] for passage in by_body.passages} <= {"harbour.md"}
