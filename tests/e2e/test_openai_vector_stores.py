"""Files and vector stores by the official OpenAI client, against the application on its cluster."""

from collections.abc import Iterator

import openai
import pytest

from tests.conftest import Service

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SOUP = b"# Kitchen\n\nThe leek soup simmers for forty minutes.\n"
STEW = b"# Kitchen\n\nThe bean stew simmers for three hours.\n"


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="unused", max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture
def store(client: openai.OpenAI) -> Iterator[str]:
    made = client.vector_stores.create(name="kitchen")
    yield made.id
    client.vector_stores.delete(made.id)


def test_a_file_is_uploaded_waited_for_and_found(client: openai.OpenAI, store: str) -> None:
    attached = client.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=("soup.md", SOUP), attributes={"course": "first"}
    )

    (found,) = client.vector_stores.search(store, query="How long does the soup simmer?").data

    assert attached.status == "completed"
    assert client.files.wait_for_processing(attached.id, poll_interval=0.05).status == "processed"
    assert (found.file_id, found.filename, found.attributes) == (attached.id, "soup.md", {"course": "first"})
    assert "forty minutes" in found.content[0].text
    assert 0 <= found.score <= 1
    parts = list(client.vector_stores.files.content(attached.id, vector_store_id=store))
    assert found.content[0].text in [part.text for part in parts]


def test_a_batch_is_uploaded_waited_for_and_filtered(client: openai.OpenAI, store: str) -> None:
    ids = [
        client.files.create(file=(name, content), purpose="assistants").id
        for name, content in (("soup.md", SOUP), ("stew.md", STEW))
    ]
    batch = client.vector_stores.file_batches.create_and_poll(
        store,
        files=[{"file_id": one, "attributes": {"course": course}} for one, course in zip(ids, (1, 2), strict=True)],
    )

    def found(filters: dict[str, object]) -> set[str]:
        page = client.vector_stores.search(store, query="What simmers?", filters=filters)
        return {one.file_id for one in page.data}

    assert (batch.status, batch.file_counts.completed) == ("completed", 2)
    assert found({"type": "eq", "key": "course", "value": 1}) == {ids[0]}
    assert found({"type": "in", "key": "course", "value": [1, 2]}) == set(ids)
    client.vector_stores.files.update(ids[0], vector_store_id=store, attributes={"course": 3})
    assert found({"type": "lte", "key": "course", "value": 2}) == {ids[1]}
    assert {file.id for file in client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store)} == set(
        ids
    )


def test_a_new_version_takes_the_place_of_the_one_before(client: openai.OpenAI, store: str) -> None:
    attached = client.vector_stores.files.upload_and_poll(vector_store_id=store, file=("pot.md", SOUP))

    replaced = client.put(f"/files/{attached.id}/content", cast_to=object, content=STEW)
    client.vector_stores.files.poll(attached.id, vector_store_id=store, poll_interval_ms=50)

    assert replaced["version"] == 2
    texts = [one.content[0].text for one in client.vector_stores.search(store, query="What simmers?").data]
    assert ["bean stew" in text for text in texts] == [True]
    completion = client.chat.completions.create(
        model="ragserve",
        messages=[{"role": "user", "content": "What simmers for three hours?"}],
        tools=[{"type": "file_search", "vector_store_ids": [store]}],
    )
    assert "bean stew" in completion.choices[0].message.content


def test_a_deleted_default_store_comes_back_empty_and_is_filled_again(client: openai.OpenAI) -> None:
    file_id = client.vector_stores.files.upload_and_poll(vector_store_id="default", file=("soup.md", SOUP)).id
    assert file_id in {one.file_id for one in client.vector_stores.search("default", query="leek soup").data}

    client.vector_stores.delete("default")

    assert client.vector_stores.search("default", query="leek soup").data == []
    client.vector_stores.files.create_and_poll(file_id, vector_store_id="default", poll_interval_ms=50)
    assert {one.file_id for one in client.vector_stores.search("default", query="leek soup").data} == {file_id}
