"""`chunking_strategy` of files and vector stores with OpenAI's own client: what is stored, found and shown."""

from typing import Any

import httpx
import openai
import pytest

from tests.serve.api.api_samples import error_of, ingest_file

DAYS = (
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Easter",
    "Christmas",
    "Shrovetide",
)
SENTENCES = [f"The tide of {day} was as high as the old pier at the port of Brest." for day in DAYS]
AS_RETRIEVED = {"ranker": "none"}
EASTER = {"query": "Easter", "ranking_options": AS_RETRIEVED}
TIDES = ("# Tides\n\n" + " ".join(SENTENCES) + "\n\n# Cranes\n\nA crane lifts forty tons of cargo at once.").encode()
STRATEGIES: list[dict[str, Any]] = [
    {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 10}},
    {"type": "structure", "structure": {"max_chunk_size_tokens": 64, "chunk_overlap_tokens": 0}},
    {"type": "sentence_window", "sentence_window": {"max_chunk_size_tokens": 200, "window_sentences": 1}},
    {"type": "semantic", "semantic": {"max_chunk_size_tokens": 100, "breakpoint_percentile": 80}},
    {"type": "parent_child", "parent_child": {"max_chunk_size_tokens": 400, "child_tokens": 40}},
    {
        "type": "contextual_headers",
        "contextual_headers": {"max_chunk_size_tokens": 100, "header_tokens": 40, "chunk_overlap_tokens": 0},
    },
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy["type"])
async def test_every_strategy_is_stored_and_makes_a_file_searchable(
    client: openai.AsyncOpenAI, strategy: dict[str, Any]
) -> None:
    file_id = await ingest_file(client, "tides.md", TIDES, "default", chunking_strategy=strategy)

    attached = await client.vector_stores.files.retrieve(file_id, vector_store_id="default")
    hits = (await client.vector_stores.search("default", query="Easter", ranking_options=AS_RETRIEVED)).data

    assert attached.chunking_strategy.to_dict() == strategy
    assert SENTENCES[7] in hits[0].content[0].text


@pytest.mark.parametrize("name", ["structure", "sentence_window", "semantic", "parent_child", "contextual_headers"])
async def test_a_strategy_without_parameters_gets_defaults(client: openai.AsyncOpenAI, name: str) -> None:
    created = await client.vector_stores.create(chunking_strategy={"type": name})

    assert created.chunking_strategy["type"] == name
    assert created.chunking_strategy[name]["max_chunk_size_tokens"] >= 220


async def test_a_window_is_shown_at_its_place_in_the_text(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    file_id = await ingest_file(client, "tides.md", TIDES, "default", chunking_strategy=STRATEGIES[2])

    found = (await http.get(f"/v1/vector_stores/default/files/{file_id}/content")).json()["data"]
    hit = (
        await http.post("/v1/vector_stores/default/search", json={"query": "Easter", "ranking_options": AS_RETRIEVED})
    ).json()["data"][0]

    assert [chunk["text"] for chunk in found[:10]] == SENTENCES
    shown = hit["content"][0]
    assert shown["text"] == " ".join(SENTENCES[6:9])
    assert TIDES.decode().replace("# Tides", "Tides")[shown["start"] : shown["end"]] == shown["text"]


async def test_each_section_is_shown_once(http: httpx.AsyncClient, client: openai.AsyncOpenAI) -> None:
    await ingest_file(client, "tides.md", TIDES, "default", chunking_strategy=STRATEGIES[4])

    search = {"query": "tide of Brest, crane with cargo", "max_num_results": 10}
    hits = (await http.post("/v1/vector_stores/default/search", json=search)).json()["data"]

    texts = [hit["content"][0]["text"] for hit in hits]
    assert sorted(texts) == sorted([" ".join(SENTENCES), "A crane lifts forty tons of cargo at once."])


async def test_an_answer_cites_the_window(http: httpx.AsyncClient, client: openai.AsyncOpenAI) -> None:
    file_id = await ingest_file(client, "tides.md", TIDES, "default", chunking_strategy=STRATEGIES[2])

    answer = (await http.post("/v1/query", json={"query": "How high was the tide of Easter?"})).json()

    text = (await http.get(f"/v1/files/{file_id}/text")).text
    assert answer["passages"][0]["text"] in text
    assert answer["citations"]
    for citation in answer["citations"]:
        assert text[citation["start"] : citation["end"]] == citation["quote"]


async def test_files_inherit_the_strategy_of_their_store_unless_they_have_one(client: openai.AsyncOpenAI) -> None:
    first = await client.files.create(file=("a.md", TIDES), purpose="assistants")
    store = await client.vector_stores.create(chunking_strategy=STRATEGIES[2], file_ids=[first.id])
    second = await ingest_file(client, "b.md", TIDES, store.id)
    third = await ingest_file(client, "c.md", TIDES, store.id, chunking_strategy={"type": "auto"})
    fourth = await ingest_file(client, "d.md", TIDES, store.id, chunking_strategy=STRATEGIES[1])

    await client.vector_stores.files.create(store.id, file_id=fourth)

    files = client.vector_stores.files
    types = [
        (await files.retrieve(file_id, vector_store_id=store.id)).chunking_strategy.type
        for file_id in (first.id, second, third, fourth)
    ]
    assert types == ["sentence_window", "sentence_window", "other", "structure"]


async def test_the_strategy_of_a_store_can_be_changed(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    store = await client.vector_stores.create(chunking_strategy=STRATEGIES[2])
    path = f"/v1/vector_stores/{store.id}"

    await http.post(path, json={"name": "tides"})
    kept = (await http.get(path)).json()["chunking_strategy"]
    changed = (await http.post(path, json={"chunking_strategy": {"type": "semantic"}})).json()["chunking_strategy"]
    cleared = (await http.post(path, json={"chunking_strategy": None})).json()["chunking_strategy"]

    assert (kept, changed["type"], cleared) == (STRATEGIES[2], "semantic", {"type": "auto"})


async def test_a_replaced_file_keeps_its_strategy(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    file_id = await ingest_file(client, "tides.md", TIDES, "default", chunking_strategy=STRATEGIES[2])

    replaced = TIDES.replace(b"Brest", b"Calais")
    await http.put(f"/v1/files/{file_id}/content", files={"file": ("tides.md", replaced)})
    await client.vector_stores.files.poll(file_id, vector_store_id="default", poll_interval_ms=10)

    hit = (
        await http.post(
            "/v1/vector_stores/default/search", json={"query": "Easter Calais", "ranking_options": AS_RETRIEVED}
        )
    ).json()["data"][0]
    assert hit["content"][0]["text"] == " ".join(SENTENCES[6:9]).replace("Brest", "Calais")


BAD_STRATEGIES: list[tuple[dict[str, Any], str]] = [
    ({"type": "psychic"}, "type"),
    ({"type": "static"}, "static"),
    ({"type": "auto", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}, "static"),
    ({"type": "semantic", "parent_child": {}}, "parent_child"),
    ({"type": "semantic", "semantic": {"breakpoint_percentile": 100}}, "semantic.breakpoint_percentile"),
    ({"type": "semantic", "semantic": {"window_sentences": 2}}, "semantic.window_sentences"),
    ({"type": "sentence_window", "sentence_window": {"window_sentences": 0}}, "sentence_window.window_sentences"),
    ({"type": "sentence_window", "sentence_window": {"window_sentences": "many"}}, "sentence_window.window_sentences"),
    ({"type": "parent_child", "parent_child": {"child_tokens": 31}}, "parent_child.child_tokens"),
    (
        {"type": "parent_child", "parent_child": {"child_tokens": 200, "max_chunk_size_tokens": 100}},
        "parent_child.child_tokens",
    ),
    ({"type": "contextual_headers", "contextual_headers": {"header_tokens": 999}}, "contextual_headers.header_tokens"),
    (
        {"type": "structure", "structure": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51}},
        "structure.chunk_overlap_tokens",
    ),
]


async def test_invalid_strategies_are_refused_by_name(http: httpx.AsyncClient, client: openai.AsyncOpenAI) -> None:
    file = await client.files.create(file=("a.md", b"alpha"), purpose="assistants")

    for strategy, param in BAD_STRATEGIES:
        expected = (422, "invalid_request", f"chunking_strategy.{param}")
        body = {"chunking_strategy": strategy}
        assert error_of(await http.post("/v1/vector_stores", json=body)) == expected, strategy
        attach = body | {"file_id": file.id}
        assert error_of(await http.post("/v1/vector_stores/default/files", json=attach)) == expected, strategy
    refusal = (await http.post("/v1/vector_stores", json={"chunking_strategy": {"type": "psychic"}})).json()
    assert "sentence_window" in refusal["error"]["message"]
