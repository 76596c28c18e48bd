"""Enrichment and masks of a vector store, with OpenAI's own client and without it."""

from typing import Any

import httpx
import openai
import pytest

from tests.serve.api.api_samples import error_of, ingest_file

LETTER = b"""# Letter to the harbour

Der Hafen ist am 3. Mai 2024 geschlossen. Schreiben Sie an jane@example.com oder rufen Sie +49 30 901820 an.
"""
EVERYTHING = {"language": True, "title": True, "dates": True, "keywords": True, "near_duplicates": True}


async def create(client: openai.AsyncOpenAI, **fields: Any) -> str:
    return (await client.vector_stores.create(name="letters", extra_body=fields)).id


async def test_a_store_shows_its_options_and_has_none_by_default(client: openai.AsyncOpenAI) -> None:
    plain = await client.vector_stores.create(name="plain")
    store = await create(client, enrichment={"language": True}, personal_data={"mask": ["iban", "email"]})

    retrieved = await client.vector_stores.retrieve(store)
    cleared = await client.vector_stores.update(store, extra_body={"enrichment": None, "personal_data": None})

    assert (plain.enrichment, plain.personal_data) == (None, None)
    assert retrieved.enrichment["language"] is True
    assert retrieved.enrichment["keywords"] is False
    assert retrieved.personal_data == {"mask": ["email", "iban"]}
    assert (cleared.enrichment, cleared.personal_data) == (None, None)


async def test_derived_attributes_are_shown_and_filtered(client: openai.AsyncOpenAI) -> None:
    store = await create(client, enrichment=EVERYTHING)
    german = await ingest_file(client, "letter.md", LETTER, store, attributes={"team": "north"})
    english = await ingest_file(client, "note.md", b"The tide is high and the harbour is open.", store)

    file = await client.vector_stores.files.retrieve(german, vector_store_id=store)
    search = client.vector_stores.search

    async def matching_files(key: str, value: object) -> set[str]:
        page = await search(store, query="harbour", filters={"type": "eq", "key": key, "value": value})
        return {result.file_id for result in page.data}

    assert file.attributes == {"team": "north"}
    assert file.derived_attributes["auto.title"] == "Letter to the harbour"
    assert file.derived_attributes["auto.date"] == "2024-05-03"
    assert file.duplicates == []
    assert await matching_files("auto.language", "de") == {german}
    assert await matching_files("auto.language", "en") == {english}
    assert await matching_files("auto.keyword.geschlossen", True) == {german}
    (result,) = (await search(store, query="jane", filters={"type": "eq", "key": "team", "value": "north"})).data
    assert result.attributes["auto.language"] == "de"
    assert result.attributes["team"] == "north"


async def test_the_callers_attribute_wins(client: openai.AsyncOpenAI) -> None:
    store = await create(client, enrichment={"language": True})
    file_id = await ingest_file(client, "letter.md", LETTER, store, attributes={"auto.language": "mine"})

    (result,) = (await client.vector_stores.search(store, query="harbour")).data
    file = await client.vector_stores.files.retrieve(file_id, vector_store_id=store)

    assert result.attributes == {"auto.language": "mine"}
    assert (file.attributes, file.derived_attributes) == ({"auto.language": "mine"}, {"auto.language": "de"})


async def test_personal_data_are_masked_everywhere_but_in_the_upload(
    client: openai.AsyncOpenAI, http: httpx.AsyncClient
) -> None:
    store = await create(client, enrichment=EVERYTHING, personal_data={"mask": "all"})

    file_id = await ingest_file(client, "letter.md", LETTER, store)

    file = await client.vector_stores.files.retrieve(file_id, vector_store_id=store)
    contents = [content.text async for content in client.vector_stores.files.content(file_id, vector_store_id=store)]
    results = str(await client.vector_stores.search(store, query="jane@example.com"))
    answer = await http.post("/v1/query", json={"query": "Whom do I write to?", "vector_store_ids": [store]})
    text = (await http.get(f"/v1/files/{file_id}/text")).text
    everything = f"{file} {contents} {results} {answer.text} {text}"
    assert file.parse_report["masked"] == {"email": 1, "phone": 1}
    assert "[EMAIL]" in text
    assert everything.count("jane@example.com") == results.count("jane@example.com")  # only the query itself
    assert "901820" not in everything
    assert (await client.files.content(file_id)).read() == LETTER


async def test_masks_that_are_switched_on_reach_the_files_of_the_store(
    client: openai.AsyncOpenAI, http: httpx.AsyncClient
) -> None:
    store = await create(client)
    file_id = await ingest_file(client, "letter.md", LETTER, store)

    await client.vector_stores.update(store, extra_body={"personal_data": {"mask": ["email"]}})
    await client.vector_stores.files.poll(file_id, vector_store_id=store, poll_interval_ms=10)

    text = (await http.get(f"/v1/files/{file_id}/text", params={"vector_store_id": store})).text
    assert "[EMAIL] oder rufen Sie +49 30 901820 an" in text
    assert text == (await http.get(f"/v1/files/{file_id}/text")).text


async def test_near_duplicates_name_each_other(client: openai.AsyncOpenAI) -> None:
    store = await create(client, enrichment={"near_duplicates": True, "min_similarity": 0.7})
    clauses = " ".join(f"Clause {number} binds the tenant of room {number}." for number in range(30))
    ids = [
        await ingest_file(client, f"{name}.md", f"Contract with {name}. {clauses}".encode(), store)
        for name in ("Abel", "Baker")
    ]

    files = [file async for file in client.vector_stores.files.list(store, order="asc")]

    assert [file.duplicates[0]["file_id"] for file in files] == ids[::-1]
    assert {file.duplicates[0]["is_exact"] for file in files} == {False}
    assert 0.9 < files[0].duplicates[0]["similarity"] < 1


BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"enrichment": {"lang": True}}, "enrichment.lang"),
    ({"enrichment": {"max_keywords": 0}}, "enrichment.max_keywords"),
    ({"enrichment": {"max_keywords": 17}}, "enrichment.max_keywords"),
    ({"enrichment": {"min_similarity": 0.5}}, "enrichment.min_similarity"),
    ({"enrichment": {"min_similarity": 1.1}}, "enrichment.min_similarity"),
    ({"personal_data": {}}, "personal_data.mask"),
]


@pytest.mark.parametrize(("body", "param"), BAD_OPTIONS)
async def test_invalid_options_are_refused_by_name(http: httpx.AsyncClient, body: dict[str, Any], param: str) -> None:
    assert error_of(await http.post("/v1/vector_stores", json=body)) == (422, "invalid_request", param)
    assert error_of(await http.post("/v1/vector_stores/default", json=body)) == (422, "invalid_request", param)


@pytest.mark.parametrize("mask", ["none", [], ["emails"], ["email"] * 17, 7])
async def test_an_unknown_kind_is_refused(http: httpx.AsyncClient, mask: object) -> None:
    status, code, param = error_of(await http.post("/v1/vector_stores", json={"personal_data": {"mask": mask}}))

    assert (status, code) == (422, "invalid_request")
    assert str(param).startswith("personal_data.mask")
