"""Caches as a client sees them over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from models.corpus.corpus import Corpus
from serve.settings import Settings
from tests.serve.caching.cache_samples import CachedService, RedisServer

QUESTION = {"query": "What heats the oven?"}
NO_STORE = {"cache-control": "no-store"}


@pytest.fixture
async def http(corpus: Corpus) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(CachedService(corpus)) as client:
        yield client


def client_of(service: CachedService) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=service.live.app), base_url="http://ragserve")


async def ask(http: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    response = await http.post("/v1/query", json=QUESTION | changes)
    assert response.status_code == 200
    return response.json()


async def events(http: httpx.AsyncClient) -> list[tuple[str, dict[str, Any]]]:
    """The server-sent events of the question: their names and data."""
    body = (await http.post("/v1/query", json=QUESTION | {"stream": True})).text.replace("\r\n", "\n")
    pairs = [dict(line.split(": ", 1) for line in block.splitlines()) for block in body.strip().split("\n\n")]
    return [(pair["event"], json.loads(pair["data"])) for pair in pairs]


async def test_a_stored_answer_differs_in_its_id_times_and_cached_alone(http: httpx.AsyncClient) -> None:
    first, second = await ask(http), await ask(http)

    assert (first["cached"], second["cached"]) == ([], ["answers"])
    own = {"id", "timings", "cached"}
    assert {key: value for key, value in first.items() if key not in own} == {
        key: value for key, value in second.items() if key not in own
    }
    assert first["id"] != second["id"]


async def test_a_stream_is_replayed_in_the_order_of_its_events(http: httpx.AsyncClient) -> None:
    computed, stored = await events(http), await events(http)

    assert [name for name, _ in stored] == [name for name, _ in computed]
    assert stored[:-1] == computed[:-1]
    assert (computed[-1][1]["cached"], stored[-1][1]["cached"]) == ([], ["answers"])


async def test_a_stream_and_a_whole_answer_share_an_entry(http: httpx.AsyncClient) -> None:
    await events(http)

    assert (await ask(http))["cached"] == ["answers"]


async def test_chat_says_it_too_and_shares_the_entry_of_an_equal_question(http: httpx.AsyncClient) -> None:
    body = {"model": "ragserve", "messages": [{"role": "user", "content": QUESTION["query"]}], "vector_store_ids": None}
    del body["vector_store_ids"]
    completions = [(await http.post("/v1/chat/completions", json=body)).json() for _ in range(2)]

    assert completions[-1]["cached"] == ["answers"]


async def test_a_search_comes_from_the_cache_of_retrieval(http: httpx.AsyncClient) -> None:
    searches = [(await http.post("/v1/vector_stores/default/search", json={"query": "oven"})).json() for _ in range(2)]

    assert [search["cached"] for search in searches] == [[], ["retrieval"]]
    assert searches[0]["data"] == searches[1]["data"]


async def test_no_store_computes_the_answer_and_stores_nothing(http: httpx.AsyncClient) -> None:
    refused = [(await http.post("/v1/query", json=QUESTION, headers=NO_STORE)).json() for _ in range(2)]

    assert [answer["cached"] for answer in refused] == [[], []]
    assert (await ask(http))["cached"] == []


async def test_equal_streams_under_way_are_one_computation(corpus: Corpus) -> None:
    service = CachedService(corpus)
    async with client_of(service) as http:
        streams = await asyncio.gather(*(events(http) for _ in range(4)))

    assert service.generator.num_answers == 1
    assert all(stream[:-1] == streams[0][:-1] for stream in streams)


async def test_another_ingress_replica_answers_from_redis(corpus: Corpus, server: RedisServer) -> None:
    settings = Settings(cache={"redis_url": server.url, "redis_timeout_s": 5})
    first, second = CachedService(corpus, settings), CachedService(corpus, settings)
    async with client_of(first) as http:
        computed = await ask(http)
    await first.caches._shared.flush()
    async with client_of(second) as http:
        stored = await ask(http)

    assert stored["cached"] == ["answers"]
    assert stored["answer"] == computed["answer"]
    await first.close()
    await second.close()


async def test_redis_killed_in_mid_run_costs_no_answer(corpus: Corpus, server: RedisServer) -> None:
    service = CachedService(corpus, Settings(cache={"redis_url": server.url, "redis_timeout_s": 5}))
    async with client_of(service) as http:
        before = await ask(http)
        server.kill()
        from_memory = await ask(http)
        others = [await ask(http, top_k=top_k) for top_k in (1, 2, 3)]
        server.start_again()

    assert (from_memory["cached"], from_memory["answer"]) == (["answers"], before["answer"])
    assert all(answer["degraded"] == [] for answer in others)
    await service.close()


async def test_garbage_in_redis_costs_no_answer(corpus: Corpus, server: RedisServer) -> None:
    settings = Settings(cache={"redis_url": server.url, "redis_timeout_s": 5})
    first, second = CachedService(corpus, settings), CachedService(corpus, settings)
    async with client_of(first) as http:
        computed = await ask(http)
    await first.caches._shared.flush()
    with server.client() as client:
        for name in client.keys("ragserve:*"):
            client.set(name, b"garbage" * 10)
    async with client_of(second) as http:
        answered = await ask(http)

    assert answered["cached"] == []
    assert answered["answer"] == computed["answer"]
    await first.close()
    await second.close()


async def test_readiness_and_metrics_do_not_show_the_password(corpus: Corpus, server: RedisServer) -> None:
    url = server.url.replace("//", "//:wrong-secret@")
    service = CachedService(corpus, Settings(cache={"redis_url": url}))
    async with client_of(service) as http:
        await ask(http)
        pages = [(await http.get(path)).text for path in ("/readyz", "/metrics", "/openapi.json")]

    assert not [page for page in pages if "secret" in page]
    assert 'ragserve_cache_misses_total{level="answers",tier="redis"}' in pages[1]
    await service.close()
